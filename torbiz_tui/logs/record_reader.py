"""Reading the fitting records of a log: from its end backwards, and what comes after that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from time import sleep
from typing import NamedTuple

from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_file import OFFSET_BITS, LogFile
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.records import RecordScanner, record_start
from torbiz_tui.logs.times import offset_at, time_before

_PIECE = 256 * 1024
_LONGEST_PIECE = 4 * 2**20
_NEXT_LOOK_S = 0.01


class PlacedRecord(NamedTuple):
    """The places of a record's lines (see `RawLine.place`), and the time it tells.

    Where it was asked for, the time of one that tells none is that of the line before it.
    """

    places: list[int]
    time: datetime | None


class RecordReader:
    """Reads one log in both directions from where its last finished line ended at first."""

    def __init__(
        self, series: LogSeries, wanted: Filter, source: str = "", *, timed: bool = False
    ) -> None:
        self._timed = timed
        self._series = series
        self._wanted = wanted
        self._scanner = RecordScanner(wanted, source, timed=timed)
        self.parts = series.parts
        """The parts that have been read from."""
        last = self.parts[-1] if self.parts else None
        self._forward = (last.part, _whole_end(last)) if last is not None else (0, 0)
        self._last = -1
        self._total = sum(part.size for part in self.parts)
        self._read = 0
        self._backwards = self._back()

    @property
    def progress(self) -> float:
        """How much was read backwards, 0 to 1."""
        return min(1.0, self._read / self._total) if self._total else 1.0

    def back(self) -> list[PlacedRecord] | None:
        """The records of the piece before the last one; None when the beginning was reached."""
        return next(self._backwards, None)

    def forward(self) -> list[PlacedRecord] | None:
        """The records of the next piece that came, their new lines alone; None without any."""
        number, offset = self._forward
        part = self._series.part(number)
        successor = self._series.part_after(number)
        written_on = not self._series.has_moved_on(number)
        if part is None or (not written_on and offset >= part.size):
            if successor is None:
                return None
            self._forward = (successor.part, 0)
            return []
        # The last line of a file that is written no more has ended, too.
        end = _whole_end(part, offset) if written_on else part.size
        if offset >= end:
            return None
        end = min(end, line_border(part, offset, offset + _PIECE))
        found: list[PlacedRecord] = []
        records = list(self._records(part, record_start(part, offset), end))
        if not part.intact():
            # It was emptied; the series will know at its next look.
            return None
        for places, time in records:
            new = [place for place in places if place > self._last]
            if new:
                self._last = new[-1]
                found.append(PlacedRecord(new, time))
        self._forward = (number, end)
        self.parts = self._series.parts
        return found

    def _back(self) -> Iterator[list[PlacedRecord]]:
        for known in reversed(self.parts):
            part = known
            last = part.part == self._forward[0]
            whole = self._forward[1] if last else part.size
            first, end = 0, whole
            if self._wanted.since is not None:
                first = offset_at(part, self._wanted.since)
            if self._wanted.until is not None:
                end = min(end, offset_at(part, self._wanted.until, after=True))
            self._read += whole - end
            while end > first:
                start = max(first, record_start(part, part.line_start(max(0, end - _PIECE))))
                found = list(self._records(part, start, end))
                while not part.intact():
                    # A copy may have taken its place, at the next look of the series.
                    sleep(_NEXT_LOOK_S)
                    yield []
                    replaced = self._series.part(part.part)
                    if replaced is None:
                        return
                    found = list(self._records(part := replaced, start, end))
                if found:
                    self._last = max(self._last, found[-1].places[-1])
                self._read += end - start
                end = start
                yield found
            self._read += first

    def _records(self, part: LogFile, start: int, end: int) -> Iterator[PlacedRecord]:
        while start < end:
            stop = (
                end
                if end - start <= _LONGEST_PIECE
                else line_border(part, start, start + _LONGEST_PIECE)
            )
            # Of a line that is longer its beginning is looked at.
            data = bytearray(part.read(start, min(stop - start, _LONGEST_PIECE)))
            base = part.part << OFFSET_BITS | start
            last: datetime | None = None
            for lines, told in self._scanner.records(data):
                time = told
                if self._timed and told is None:
                    # With all records there the last one is the one before.
                    known = last if self._wanted.empty else None
                    time = known or time_before(part, start + lines[0]) or last
                last = time
                yield PlacedRecord([base + at for at in lines], time)
            start = stop


def _whole_end(part: LogFile, start: int = 0) -> int:
    """Where the last finished line ends."""
    end = part.size
    return end if part.last_bytes.endswith(b"\n") or not end else max(start, part.line_start(end))


def line_border(part: LogFile, start: int, wanted: int) -> int:
    """Where a line begins at `wanted` or before it, but after `start`."""
    if wanted >= part.size:
        return part.size
    begin = part.line_start(wanted)
    return begin if begin > start else part.line_end(wanted)
