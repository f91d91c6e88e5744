"""What a pane shows: a list of lines that grows at its end, and at its beginning while it is built."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Protocol

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.log_series import Change, LogSeries


class LineView(Protocol):
    """Lines by index, 0 being the oldest that is known; an index shifts while older ones are found.

    What has to stay where it is (the first line shown, a mark) is kept as a `RawLine` or its
    `place`, and its index asked for again when `version` has changed.
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
        """Changes whenever lines came before others that were known, or went."""

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""

    def whole(self, line: RawLine, limit: int = 2**20) -> bytes:
        """All bytes of a line that was cut, `limit` at most."""

    def look(self) -> bool:
        """Take in what has come; whether anything changed. Cheap; call it for every change."""

    def close(self) -> None:
        """End what runs in the background; the files stay open."""


class WholeView:
    """All lines of a log; until they are counted, those of the last `tail_bytes` bytes."""

    def __init__(self, series: LogSeries, *, tail_bytes: int = 256 * 1024) -> None:
        self.series = series
        self._tail_bytes = tail_bytes
        self._tail = array("Q")
        self._tail_end = 0
        self._tail_part = 0
        self._counted = False
        self._take()

    @property
    def count(self) -> int:
        """How many lines there are, as far as is known."""
        if self._counted:
            return sum(part.known for part in self.series.parts)
        return self._tail_count

    @property
    def complete(self) -> bool:
        """Whether all are counted."""
        return self._counted

    @property
    def progress(self) -> float:
        """How much was counted, 0 to 1."""
        size = self.series.size
        done = sum(part.progress * part.size for part in self.series.parts)
        return done / size if size else 1.0

    @property
    def version(self) -> int:
        """Changes when lines came before others, or went."""
        return self.series.version * 2 + self._counted

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        if first < 0:
            count, first = count + first, 0
        if not self._counted:
            part = self.series.part(self._tail_part)
            count = min(count, self._tail_count - first)
            if part is None or count <= 0:
                return []
            return part.lines_after(self._tail[first], count)
        found: list[RawLine] = []
        for part in self.series.parts:
            known = part.known
            if first < known and len(found) < count:
                found += part.line_range(first, count - len(found))
            first = max(0, first - known)
        return found

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""
        if not self._counted:
            if line.part != self._tail_part:
                return 0 if line.part < self._tail_part else self._tail_count
            return bisect_left(self._tail, line.offset)
        index = 0
        for part in self.series.parts:
            if part.part == line.part:
                number = part.number_at(line.offset)
                return index + (part.known if number is None else number)
            if part.part > line.part:
                break
            index += part.known
        return index

    @property
    def _tail_count(self) -> int:
        # Where the next line will begin is known before there is one.
        begun = bool(self._tail) and self._tail[-1] == self._tail_end
        return len(self._tail) - begun

    def look(self) -> bool:
        """Take in what has come; whether anything changed."""
        counted, tail = self._counted, self._tail_count
        change = self.series.look()
        self._take()
        grew = change is not Change.NOTHING
        return grew or counted != self._counted or tail != self._tail_count

    def whole(self, line: RawLine, limit: int = 2**20) -> bytes:
        """All bytes of a line that was cut, `limit` at most."""
        return self.series.whole(line, limit)

    def close(self) -> None:
        """Nothing runs here."""

    def _take(self) -> None:
        if self._counted:
            return
        if all(part.complete for part in self.series.parts):
            self._counted = True
            self._tail = array("Q")
            return
        part = self.series.current
        assert part is not None
        if part.part != self._tail_part:
            start = max(0, part.size - self._tail_bytes)
            self._tail_part = part.part
            self._tail_end = start = part.line_start(start)
            self._tail = array("Q", [start])
        # Where lines begin in what was not looked at yet.
        while self._tail_end < part.size:
            data = part.read(self._tail_end, min(self._tail_bytes, part.size - self._tail_end))
            if not data:
                break
            at = -1
            while (at := data.find(b"\n", at + 1)) != -1:
                self._tail.append(self._tail_end + at + 1)
            self._tail_end += len(data)
