"""Finding a moment in a log whose lines are ordered by time."""

from __future__ import annotations

from datetime import datetime

from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.log_file import LogFile, RawLine
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.parsing import parse
from torbiz_tui.logs.sanitizing import without_colours

_LOOKED_AT = 500
_BATCH = 20
_LOOKED_BACK = 50
_LOOKED_THROUGH = 16 * 1024


def line_time(line: RawLine) -> datetime | None:
    """The time that a line tells."""
    return parse(without_colours(decode_line(line.data[:400]))).time


def time_before(part: LogFile, offset: int) -> datetime | None:
    """The time of the line before one that begins at `offset`, or of one not far before it."""
    for line in reversed(part.lines_before(offset, _LOOKED_BACK)):
        time = line_time(line)
        if time is not None:
            return time
    return None


def line_at(series: LogSeries, moment: datetime) -> RawLine | None:
    """The first line of a moment or later; None when all are earlier."""
    for part in series.parts:
        offset = offset_at(part, moment)
        if offset < part.size:
            return part.lines_after(offset, 1, number=part.number_at(offset))[0]
    return None


def offset_at(part: LogFile, moment: datetime, *, after: bool = False) -> int:
    """Where the lines of a moment begin, or with `after` those that are later.

    The size of the file if there are none. Lines without a time count as of the line before; a
    file in which none tells its time has its size for an answer with `after`, else 0.
    """
    if _first_timed(part, 0) is None:
        return part.size if after else 0

    def early(time: datetime) -> bool:
        return time <= moment if after else time < moment

    # All before `low` are too early, none from `high` on is.
    low, high = 0, part.size
    while high - low > _LOOKED_THROUGH:
        middle = part.line_start((low + high) // 2)
        if middle <= low:
            break
        found = _first_timed(part, middle)
        if found is not None and early(found[0]):
            low = _end(found[1])
        else:
            high = middle
    while (found := _first_timed(part, low)) is not None:
        if not early(found[0]):
            return found[1].offset
        low = _end(found[1])
    return part.size


def _end(line: RawLine) -> int:
    return line.offset + line.length + 1


def _first_timed(part: LogFile, offset: int) -> tuple[datetime, RawLine] | None:
    for _ in range(_LOOKED_AT // _BATCH):
        lines = part.lines_after(offset, _BATCH)
        for line in lines:
            time = line_time(line)
            if time is not None:
                return time, line
        if len(lines) < _BATCH:
            return None
        offset = _end(lines[-1])
    return None
