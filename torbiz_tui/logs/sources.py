"""The log sources that a person can look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.logs.stamps import with_local_times
from torbiz_tui.paths import Paths

_LOG = re.compile(r"([^.].*\.log)(?:\.\d{1,6})?")
_KNOWN = (
    ("seeder", "petals_seeder.log", "The hosted Petals server"),
    ("container", "container.log", "The container, as the engine logged it"),
    ("inference", "petals_inference.log", "The chat runner"),
    ("monitor", "swarm_monitor.log", "The monitor of the swarm"),
    ("bootstrap", "bootstrap.log", "The bootstrap node"),
    ("reach", "reach.log", "The reach test"),
    ("setup", "setup.log", "Setup and its tools"),
    ("app", "app.log", "This program"),
)
# These are written only by some, so they are there once they have been.
_ONCE_WRITTEN = ("container", "monitor", "bootstrap", "reach")
RUNNER_LOGS = tuple(file for name, file, _ in _KNOWN if name not in ("setup", "app"))
"""The logs of the programs that are started for Petals; one that runs goes on writing its own."""


@dataclass(frozen=True)
class LogSource:
    """A named log file; it may not exist yet."""

    name: str
    file: Path
    title: str

    @property
    def exists(self) -> bool:
        """Whether anything was logged, be it only in files that were rotated away."""
        return self.file.is_file() or self.file.with_name(f"{self.file.name}.1").is_file()

    def shown(self, lines: Sequence[str]) -> Sequence[str]:
        """The lines as a person reads them: an engine's stamps as the time of this place."""
        return with_local_times(lines) if self.name == "container" else lines


def log_sources(paths: Paths, *, container: bool = False) -> list[LogSource]:
    """The known sources in a fixed order, then every other log in the folder; ask again any time.

    The logs of what not everybody starts are only there if they were written earlier, that of the
    container also where one is hosted (`container`). What was rotated away (`app.log.1`) belongs to
    its log.
    """
    known = [LogSource(name, paths.logs / file, title) for name, file, title in _KNOWN]
    wanted = {"container"} if container else set()
    known = [
        one for one in known if one.name not in _ONCE_WRITTEN or one.name in wanted or one.exists
    ]
    names = {source.file.name for source in known} | {file for _, file, _ in _KNOWN}
    others = sorted({log for log in map(_log_name, _files(paths.logs)) if log} - names)
    return known + [LogSource(log.removesuffix(".log"), paths.logs / log, log) for log in others]


def _files(folder: Path) -> list[str]:
    try:
        return [file.name for file in folder.iterdir() if file.is_file()]
    except OSError:
        # Whoever opens a log there is told why it cannot be read.
        return []


def _log_name(file: str) -> str:
    """The log that a file belongs to; empty for what is no log."""
    found = _LOG.fullmatch(file)
    return found[1] if found is not None else ""
