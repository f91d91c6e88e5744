"""Which kind of machine this is, for the remedies that differ."""

from __future__ import annotations

import platform
import sys

from torbiz_tui.troubleshooting.symptom import Machine


def this_machine(system: str = sys.platform, release: str | None = None) -> Machine:
    """The kind of this machine; on macOS containers run in Docker Desktop."""
    if system == "darwin":
        return Machine.DOCKER_DESKTOP
    release = platform.release() if release is None else release
    return Machine.WSL if "microsoft" in release.lower() else Machine.LINUX
