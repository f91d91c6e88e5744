"""What a log has to say already, read forwards: its last lines, or what fits of all of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import inf

from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_file import OFFSET_BITS, LogFile
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.record_reader import line_border
from torbiz_tui.logs.records import RecordScanner, record_start
from torbiz_tui.logs.times import offset_at, time_before

# Bigger ones leave the processor's cache before they are looked at.
_PIECE = 64 * 1024
_LONGEST_PIECE = 4 * 2**20
_LONGEST_LINE = 16 * 2**20


def last_place(series: LogSeries, count: int) -> tuple[int, int]:
    """The place (see `RawLine.place`) where the last `count` lines begin, and how many these are.

    Lines of files that were rotated away count as well. Reads backwards from the end.
    """
    found = place = 0
    for part in reversed(series.parts):
        start = part.start_before(part.size, count - found)
        found = count if start else found + _count_lines(part)
        place = part.part << OFFSET_BITS | start
        if found >= count:
            break
    return place, min(found, count)


def _count_lines(part: LogFile) -> int:
    lines = position = 0
    while position < part.size and (data := part.read(position, min(_PIECE, part.size - position))):
        lines += data.count(b"\n")
        position += len(data)
    return lines + (bool(part.last_bytes) and not part.last_bytes.endswith(b"\n"))


def time_at(series: LogSeries, place: int) -> datetime | None:
    """The time of the line before a place, or of one not far before it."""
    number, offset = place >> OFFSET_BITS, place & (1 << OFFSET_BITS) - 1
    for part in reversed(series.parts):
        if part.part <= number:
            end = offset if part.part == number else part.size
            if (time := time_before(part, end)) is not None:
                return time
    return None


class Backlog:
    """The lines of a log that fit a filter, up to its last record, which may go on.

    That one and what comes is for a `Follower` that begins at `place`, and a `LineFilter`. Memory
    is bounded, and only what fits is decoded. Use it in one thread, and nothing else on the series
    meanwhile: nothing here waits for others.
    """

    def __init__(self, series: LogSeries, wanted: Filter, source: str = "") -> None:
        self._series = series
        self._wanted = wanted
        self._scanner = RecordScanner(wanted, source, pace=Pace(inf))
        self._end = 0
        self.place = 0
        """Where the last record begins."""
        if (last := series.current) is not None:
            self._end = record_start(last, last.start_before(last.size, 1))
            self.place = last.part << OFFSET_BITS | self._end

    def pieces(self) -> Iterator[list[str]]:
        """The fitting lines, decoded, piece by piece; a piece may have none."""
        last = self.place >> OFFSET_BITS
        number = 0
        while (part := self._series.part_after(number)) is not None and part.part <= last:
            number = part.part
            yield from self._of_part(part, self._end if number == last else part.size)

    def _of_part(self, part: LogFile, end: int) -> Iterator[list[str]]:
        start = 0
        if self._wanted.since is not None:
            start = offset_at(part, self._wanted.since)
        if self._wanted.until is not None:
            end = min(end, offset_at(part, self._wanted.until, after=True))
        while start < end:
            border = _border(part, start, end)
            lines = list(self._lines(part, start, border))
            if not part.intact():
                # It was emptied: what is left of it is in a copy, or nowhere.
                self._series.look(read_from=part.part)
                copy = self._series.part(part.part)
                if copy is None:
                    return
                part = copy
                continue
            yield lines
            start = border

    def _lines(self, part: LogFile, start: int, end: int) -> Iterator[str]:
        data = bytearray(part.read(start, min(end - start, _LONGEST_PIECE)))
        for record in self._scanner.records(data):
            for at in record.lines:
                stop = data.find(b"\n", at)
                if stop == -1 and start + len(data) < end:
                    # Of a line that is longer its beginning was looked at.
                    yield decode_line(part.read(start + at, min(end - start - at, _LONGEST_LINE)))
                else:
                    yield decode_line(bytes(data[at : len(data) if stop == -1 else stop]))


def _border(part: LogFile, start: int, end: int) -> int:
    """Where a record begins, about a piece after `start`."""
    for size in (_PIECE, _LONGEST_PIECE):
        if start + size >= end:
            return end
        border = record_start(part, part.line_start(start + size))
        if border > start:
            return border
    # No record is as long as that, or its lines are.
    return min(end, line_border(part, start, start + _LONGEST_PIECE))
