"""What a pane shows: a list of lines that grows at its end, and at its beginning while it is built."""

from __future__ import annotations

from typing import Protocol

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.log_series import LogSeries


class LineView(Protocol):
    """Lines by index, 0 being the oldest that is known; an index shifts while older ones are found.

    What has to stay where it is (the first line shown, a mark) is kept as a `RawLine` or its
    `place`, and its index asked for again.
    """

    @property
    def count(self) -> int:
        """How many lines there are, as far as is known."""

    @property
    def complete(self) -> bool:
        """Whether the lines at the beginning are known as well."""

    @property
    def progress(self) -> float:
        """How much of that was done, 0 to 1."""

    @property
    def version(self) -> int:
        """Grows whenever lines came before others that were known, or went."""

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""

    def look(self) -> bool:
        """Take in what has come; whether anything changed. Cheap; call it for every change."""

    def close(self) -> None:
        """End what runs in the background; the files stay open."""


class WholeView:
    """All lines of a log.

    Until its lines are counted these are the last `tail` lines, then all of them.
    """

    def __init__(self, series: LogSeries, *, tail: int = 2000) -> None:
        self.series = series

    @property
    def count(self) -> int:
        """How many lines there are, as far as is known."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether all are counted."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """How much was counted, 0 to 1."""
        raise NotImplementedError

    @property
    def version(self) -> int:
        """Grows when lines came before others, or went."""
        raise NotImplementedError

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        raise NotImplementedError

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""
        raise NotImplementedError

    def look(self) -> bool:
        """Take in what has come; whether anything changed."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing runs here."""
