"""The log sources that a person can look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.paths import Paths

_KNOWN = (
    ("seeder", "petals_seeder.log", "The hosted Petals server"),
    ("inference", "petals_inference.log", "The chat runner"),
    ("setup", "setup.log", "Setup and its tools"),
    ("app", "app.log", "This program"),
)


@dataclass(frozen=True)
class LogSource:
    """A named log file; it may not exist yet."""

    name: str
    file: Path
    title: str

    @property
    def exists(self) -> bool:
        """Whether anything was logged."""
        return self.file.is_file()


def log_sources(paths: Paths) -> list[LogSource]:
    """The known sources in a fixed order, then every other `*.log` in the folder."""
    known = [LogSource(name, paths.logs / file, title) for name, file, title in _KNOWN]
    names = {source.file.name for source in known}
    others = sorted(file for file in paths.logs.glob("*.log") if file.name not in names)
    return known + [LogSource(file.stem, file, file.name) for file in others]
