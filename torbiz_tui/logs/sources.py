"""The log sources that a person can look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.logs.stamps import with_local_times
from torbiz_tui.paths import Paths

_KNOWN = (
    ("seeder", "petals_seeder.log", "The hosted Petals server"),
    ("container", "container.log", "The container, as the engine logged it"),
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

    def shown(self, lines: Sequence[str]) -> Sequence[str]:
        """The lines as a person reads them: an engine's stamps as the time of this place."""
        return with_local_times(lines) if self.name == "container" else lines


def log_sources(paths: Paths, *, container: bool = False) -> list[LogSource]:
    """The known sources in a fixed order, then every other `*.log` in the folder.

    Where nothing is hosted in a container (`container` is false) its log is only there if it was
    written earlier.
    """
    known = [LogSource(name, paths.logs / file, title) for name, file, title in _KNOWN]
    known = [one for one in known if one.name != "container" or container or one.exists]
    names = {source.file.name for source in known}
    others = sorted(file for file in paths.logs.glob("*.log") if file.name not in names)
    return known + [LogSource(file.stem, file, file.name) for file in others]
