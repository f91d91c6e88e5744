"""How an engine is started on this machine: what the app can run, what a person has to type."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.environments.docker.installed import Installed

_PACKAGES = {
    "debian": "sudo apt install docker.io",
    "ubuntu": "sudo apt install docker.io",
    "fedora": "sudo dnf install moby-engine",
    "arch": "sudo pacman -S docker",
    "suse": "sudo zypper install docker",
    "opensuse": "sudo zypper install docker",
    "alpine": "sudo apk add docker",
}
DESKTOP_PAGE = "https://www.docker.com/products/docker-desktop"
ENGINE_PAGE = "https://docs.docker.com/engine/install/"


@dataclass(frozen=True)
class StartCommand:
    """A command that starts an engine; `what` names it, `shown` is the line for a person."""

    what: str
    argv: tuple[str, ...]
    shown: str


def start_command(installed: Installed, endpoint: Endpoint | None) -> StartCommand | None:
    """The command that starts the engine of `endpoint` without asking for a password, if any.

    As another user than root the system service can still refuse; then `shown` is what to type.
    """
    if endpoint is not None and not endpoint.local:
        return None
    where = _where(endpoint)
    if installed.mac:
        return _mac(installed, where)
    if "rootless docker" in where and installed.systemd:
        return _user_unit("rootless Docker", "docker")
    if "rootless podman" in where and installed.systemd:
        return _user_unit("Podman's service", "podman.socket")
    if "docker desktop" in where or "desktop-linux" in where or "/.docker/desktop/" in where:
        return _user_unit("Docker Desktop", "docker-desktop") if installed.systemd else None
    if "dockerd" not in installed.programs:
        if "podman" in installed.programs and installed.systemd:
            if installed.root:
                return _system_unit(installed, "Podman's service", "podman.socket")
            return _user_unit("Podman's service", "podman.socket")
        return None
    if installed.systemd:
        return _system_unit(installed, "Docker", "docker")
    if "docker" in installed.init_scripts and installed.root:
        return StartCommand("Docker", ("service", "docker", "start"), "service docker start")
    return None


def start_instruction(installed: Installed, endpoint: Endpoint | None) -> str:
    """What a person does to start the engine."""
    command = start_command(installed, endpoint)
    if endpoint is not None and not endpoint.local:
        return f"Start Docker on the machine of {endpoint.address}, then retry."
    if installed.mac:
        if command is None:
            return "Open Docker Desktop and wait until its whale stands still, then retry."
        return f"Run `{command.shown}` and wait until it is up, then retry."
    if command is not None:
        return f"Run `{command.shown}`, then retry."
    if installed.wsl and "dockerd" not in installed.programs:
        return (
            "Start Docker Desktop on Windows, and switch on its WSL integration for this"
            " distribution (Settings, Resources), then retry."
        )
    sudo = "" if installed.root else "sudo "
    if "docker" in installed.init_scripts:
        return f"Run `{sudo}service docker start`, then retry."
    return f"Run `{sudo}dockerd` in another terminal, then retry."


def install_instruction(installed: Installed) -> str:
    """What a person does to get Docker."""
    if installed.mac:
        chip = "Apple silicon" if installed.chip == "arm64" else "Intel chip"
        return (
            f"Download Docker Desktop for Mac ({chip}) from {DESKTOP_PAGE}, move it to"
            " Applications, open it and wait until it runs, then retry."
        )
    if installed.wsl:
        return (
            f"Install Docker Desktop on Windows ({DESKTOP_PAGE}) and switch on its WSL"
            " integration for this distribution, then retry."
        )
    for name in installed.distribution:
        if command := _PACKAGES.get(name.split("-")[0]):
            return f"Run `{command}` (or see {ENGINE_PAGE}), then retry."
    return f"Install Docker as {ENGINE_PAGE} says, then retry."


def _where(endpoint: Endpoint | None) -> str:
    return f"{endpoint.source} {endpoint.address}".lower() if endpoint is not None else ""


def _mac(installed: Installed, where: str) -> StartCommand | None:
    desktop = StartCommand("Docker Desktop", ("open", "-g", "-a", "Docker"), "open -a Docker")
    orbstack = StartCommand("OrbStack", ("open", "-g", "-a", "OrbStack"), "open -a OrbStack")
    if "colima" in where and "colima" in installed.programs:
        profile = _colima_profile(where)
        argv = ("colima", "start", *(("--profile", profile) if profile else ()))
        return StartCommand("Colima", argv, " ".join(argv))
    if "orbstack" in where and "OrbStack" in installed.apps:
        return orbstack
    if "Docker Desktop" in installed.apps:
        return desktop
    if "OrbStack" in installed.apps:
        return orbstack
    if "colima" in installed.programs:
        return StartCommand("Colima", ("colima", "start"), "colima start")
    return None


def _colima_profile(where: str) -> str:
    _, found, rest = where.partition("/.colima/")
    profile = rest.split("/")[0] if found else ""
    return "" if profile == "default" else profile


def _user_unit(what: str, unit: str) -> StartCommand:
    return StartCommand(
        what, ("systemctl", "--user", "start", unit), f"systemctl --user start {unit}"
    )


def _system_unit(installed: Installed, what: str, unit: str) -> StartCommand:
    sudo = "" if installed.root else "sudo "
    return StartCommand(
        what,
        ("systemctl", "--no-ask-password", "start", unit),
        f"{sudo}systemctl start {unit}",
    )
