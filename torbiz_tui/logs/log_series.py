"""A log with what was rotated away: several files that read as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torbiz_tui.logs.log_file import Change, LogFile


class LogSeries:
    """`app.log.2`, `app.log.1`, `app.log`: oldest first, kept while the log is rotated again.

    `parts` are open files with growing part numbers. The path may lead to nothing yet. When the
    log is rotated, what was shown stays in its part, and a new part follows; when it is truncated
    its part is gone.
    """

    def __init__(self, path: Path, *, older: bool = True) -> None:
        self.path = path
        self.parts: tuple[LogFile, ...] = ()
        self.version = 0
        """Counts how often a part came or went: lines were added not only at the end."""

    @property
    def current(self) -> LogFile | None:
        """The file that is written to, if it is there."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """Why the log cannot be read, in words for people; empty when it can."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        raise NotImplementedError

    def start_index(self, on_change: Callable[[], None] | None = None) -> None:
        """Count the lines of all parts in the background, also of those that come later."""
        raise NotImplementedError

    def look(self) -> Change:
        """See what became of the log: growth, rotation, truncation, a file that came or went."""
        raise NotImplementedError

    def part(self, number: int) -> LogFile | None:
        """The part with that number."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all files."""
        raise NotImplementedError
