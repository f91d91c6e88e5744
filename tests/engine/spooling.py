"""A container's log copied by another process, and what the engine itself has of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from docker.models.containers import Container

LIMIT = 10**9

_SPOOL = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.container_log import Spool
from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.paths import Paths

home, host, container, max_bytes = sys.argv[1:]
finder = EngineFinder(replace(Config().docker, host=host))
asyncio.run(Spool(finder, Paths(Path(home)), container, "it", max_bytes=int(max_bytes)).run())
"""


def spooling(home: Path, host: str, container: Container) -> subprocess.Popen[bytes]:
    """A process that copies the container's log."""
    return subprocess.Popen(
        [sys.executable, "-c", _SPOOL, str(home), host, str(container.id), str(LIMIT)]
    )


def engines_log(container: Container) -> list[str]:
    """The engine's own log, each line with its stamp."""
    return text_lines(bytes(container.logs(timestamps=True)))


def copied(home: Path) -> list[str]:
    """The lines of container.log and of what it was rotated to, without the headings."""
    files = [home / "logs" / f"container.log{end}" for end in (".2", ".1", "")]
    data = b"".join(file.read_bytes() for file in files if file.exists())
    return [line for line in text_lines(data) if not line.startswith("==== ")]


def text_lines(data: bytes) -> list[str]:
    """The lines of a text that ends with a line's end, or in the middle of one."""
    lines = data.decode().split("\n")
    return lines if lines[-1] else lines[:-1]


def state(container: Container) -> dict[str, Any]:
    """The container's state now."""
    container.reload()
    found: dict[str, Any] = container.attrs["State"]
    return found
