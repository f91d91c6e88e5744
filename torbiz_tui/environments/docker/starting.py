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

    Without an endpoint it is the engine that is installed. As another user than root the system's
    service manager can still refuse; then `shown` is what to type.
    """
    brand = _brand(endpoint)
    if brand == "colima" and "colima" in installed.programs:
        assert endpoint is not None
        return _colima(endpoint)
    if installed.mac:
        return _on_mac(installed, brand)
    if brand in _USER_UNITS:
        what, unit = _USER_UNITS[brand]
        argv = ("systemctl", "--user", "start", unit)
        return StartCommand(what, argv, " ".join(argv)) if installed.systemd else None
    if brand == "podman" or (endpoint is None and "dockerd" not in installed.programs):
        return _system_unit(installed, "Podman's service", "podman", "podman.socket")
    return _system_unit(installed, "Docker", "dockerd", "docker") if brand == "docker" else None


def start_instruction(installed: Installed, endpoint: Endpoint | None) -> str:
    """What a person does to start the engine."""
    command, brand = start_command(installed, endpoint), _brand(endpoint)
    if command is not None:
        return f"Run `{command.shown}` and wait until it is up, then retry."
    if endpoint is not None and brand == "other":
        where = "" if endpoint.local else ", on its own machine"
        return f"Start the engine that listens at {endpoint.address}{where}, then retry."
    if installed.mac:
        return "Open Docker Desktop and wait until its whale stands still, then retry."
    if installed.wsl and "dockerd" not in installed.programs:
        return (
            "Start Docker Desktop on Windows, and switch on its WSL integration for this"
            " distribution (Settings, Resources), then retry."
        )
    if "podman" in brand or (
        "podman" in installed.programs and "dockerd" not in installed.programs
    ):
        address = "" if endpoint is None else f" {endpoint.address}"
        return f"Run `podman system service --time=0{address}` in another terminal, then retry."
    if "dockerd" not in installed.programs:
        return install_instruction(installed)
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


_USER_UNITS = {
    "rootless docker": ("rootless Docker", "docker"),
    "rootless podman": ("Podman's service", "podman.socket"),
    "desktop": ("Docker Desktop", "docker-desktop"),
}
_APPS = {
    "desktop": ("Docker Desktop", "Docker"),
    "orbstack": ("OrbStack", "OrbStack"),
}
_BRANDS = (
    ("/.docker/run/docker.sock", "desktop"),
    ("/.docker/desktop/docker.sock", "desktop"),
    ("/.orbstack/run/docker.sock", "orbstack"),
    ("/var/run/docker.sock", "docker"),
    ("/run/podman/podman.sock", "podman"),
    ("/podman/podman.sock", "rootless podman"),
)


def _brand(endpoint: Endpoint | None) -> str:
    """Whose socket it is: what listens there is started in its own way."""
    if endpoint is None:
        return "docker"
    path = str(endpoint.socket or "")
    if "/.colima/" in path or endpoint.source.startswith("Colima"):
        return "colima"
    if path in ("/run/docker.sock", "/run/podman/podman.sock"):
        return "docker" if "docker" in path else "podman"
    if path.startswith("/run/user/") and path.endswith("/docker.sock"):
        return "rootless docker"
    return next((brand for end, brand in _BRANDS if path.endswith(end)), "other")


def _colima(endpoint: Endpoint) -> StartCommand:
    profile = endpoint.socket.parent.name if endpoint.socket is not None else ""
    argv = ("colima", "start", *(("--profile", profile) if profile not in ("", "default") else ()))
    return StartCommand("Colima", argv, " ".join(argv))


def _on_mac(installed: Installed, brand: str) -> StartCommand | None:
    for name in (brand, "desktop", "orbstack") if brand == "docker" else (brand,):
        app, opened = _APPS.get(name, ("", ""))
        if app in installed.apps:
            return StartCommand(app, ("open", "-g", "-a", opened), f"open -a {opened}")
    if brand == "docker" and "colima" in installed.programs:
        return StartCommand("Colima", ("colima", "start"), "colima start")
    return None


def _system_unit(installed: Installed, what: str, program: str, unit: str) -> StartCommand | None:
    if program not in installed.programs:
        return None
    if installed.systemd:
        sudo = "" if installed.root else "sudo "
        argv = ("systemctl", "--no-ask-password", "start", unit)
        return StartCommand(what, argv, f"{sudo}systemctl start {unit}")
    if unit in installed.init_scripts and installed.root:
        return StartCommand(what, ("service", unit, "start"), f"service {unit} start")
    return None
