"""What this machine has of Docker: its programs and apps, its service manager, the person's groups."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_VERSION_TIMEOUT_S = 5.0
_APPS = {"Docker Desktop": "Docker.app", "OrbStack": "OrbStack.app"}


@dataclass(frozen=True)
class Installed:
    """The machine as far as it matters for finding and starting an engine.

    `system` is `darwin` or `linux`; `chip` is `arm64` or `x86_64`; `distribution` holds the `ID`
    and `ID_LIKE` of os-release; `client` is the path of `docker` (or `podman`), empty when there is
    none; `programs` are the other programs found, such as `colima` and `dockerd`; `apps` those of
    macOS that bring an engine; `groups` are the person's groups by the system's list,
    `session_groups` those that this process really has.
    """

    system: str
    chip: str = "x86_64"
    distribution: tuple[str, ...] = ()
    wsl: bool = False
    systemd: bool = False
    root: bool = False
    user: str = ""
    client: str = ""
    programs: frozenset[str] = frozenset()
    apps: frozenset[str] = frozenset()
    init_scripts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    session_groups: frozenset[str] = frozenset()

    @property
    def mac(self) -> bool:
        """Whether this is macOS."""
        return self.system == "darwin"

    @property
    def anything(self) -> bool:
        """Whether there is any program or app that brings or uses an engine."""
        return bool(self.client or self.programs or self.apps)


def look(environ: Mapping[str, str] | None = None) -> Installed:
    """See what is there. Reads a few files and asks nothing else, so it is quick."""
    environ = os.environ if environ is None else environ
    path = environ.get("PATH", os.defpath)

    def which(name: str) -> str:
        return shutil.which(name, path=path) or ""

    mac = sys.platform == "darwin"
    user, groups, session = _groups()
    return Installed(
        system=sys.platform,
        chip=platform.machine(),
        distribution=() if mac else _distribution(),
        wsl="microsoft" in platform.release().lower(),
        systemd=Path("/run/systemd/system").is_dir(),
        root=os.geteuid() == 0,
        user=user,
        client=which("docker") or which("podman"),
        programs=frozenset(name for name in ("colima", "dockerd", "podman") if which(name)),
        apps=frozenset(_apps()) if mac else frozenset(),
        init_scripts=frozenset(
            name for name in ("docker",) if os.access(f"/etc/init.d/{name}", os.X_OK)
        ),
        groups=groups,
        session_groups=session,
    )


def _apps() -> list[str]:
    places = (Path("/Applications"), Path.home() / "Applications")
    return [name for name, app in _APPS.items() if any((place / app).is_dir() for place in places)]


def _distribution() -> tuple[str, ...]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ()
    return (release.get("ID", ""), *release.get("ID_LIKE", "").split())


def _groups() -> tuple[str, frozenset[str], frozenset[str]]:
    import grp
    import pwd

    def name(group: int) -> str:
        with contextlib.suppress(KeyError):
            return grp.getgrgid(group).gr_name
        return str(group)

    session = frozenset(name(group) for group in {*os.getgroups(), os.getegid()})
    try:
        user = pwd.getpwuid(os.geteuid())
    except KeyError:
        return "", session, session
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return user.pw_name, frozenset(name(group) for group in groups), session


async def client_version(environ: Mapping[str, str] | None = None) -> str:
    """What `docker --version` prints (else `podman --version`); empty without such a program.

    A program that prints nothing within 5 seconds counts as none.
    """
    client = (await asyncio.to_thread(look, environ)).client
    if not client:
        return ""
    try:
        process = await asyncio.create_subprocess_exec(
            client,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return ""
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), _VERSION_TIMEOUT_S)
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    lines = printed.decode(errors="replace").strip().splitlines()
    return lines[0].strip() if lines and process.returncode == 0 else ""
