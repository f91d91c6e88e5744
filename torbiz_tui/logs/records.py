"""The fitting records of a piece of a log; a record is a line with what is folded into it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.filtering import Filter, level_candidates, parse_record
from torbiz_tui.logs.log_file import LogFile
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.parsing import Folding, continuation, has_head
from torbiz_tui.logs.sanitizing import without_colours

_LONGEST_LOOKED_AT = 4096
_LINES_BACK = 2000


class Record(NamedTuple):
    """Where its lines begin, and the time it tells."""

    lines: list[int]
    time: datetime | None


class RecordScanner:
    """Finds what fits a filter in whole lines of a log; `source` is the log's name."""

    def __init__(self, wanted: Filter, source: str = "") -> None:
        self._wanted = wanted
        self._source = source
        self._query = wanted.query()
        self._levels = level_candidates(wanted.levels)
        self._pace = Pace()

    def records(self, data: bytearray) -> Iterator[Record]:
        """Fitting records; `data` are whole lines, the first of which begins a record."""
        if self._query is None and self._levels is None:
            yield from self._of_all(data)
            return
        done = 0
        for at in self._candidates(data):
            self._pace.breathe()
            if at < done:
                continue
            lines, done = _record_around(data, at, done)
            record = self._fitting(data, lines, done)
            if record is not None:
                yield record

    def _candidates(self, data: bytearray) -> Iterator[int]:
        if self._query is not None:
            yield from self._query.positions(data, len(data))
        elif self._levels is not None:
            for found in self._levels.finditer(data):
                yield found.start()

    def _of_all(self, data: bytearray) -> Iterator[Record]:
        folding = Folding()
        lines: list[int] = []
        start = 0
        while start < len(data):
            end = _line_end(data, start)
            if not folding.continues(_text(data, start, end)) and lines:
                self._pace.breathe()
                if (record := self._fitting(data, lines, start)) is not None:
                    yield record
                lines = []
            lines.append(start)
            start = end + 1
        if lines and (record := self._fitting(data, lines, len(data))) is not None:
            yield record

    def _fitting(self, data: bytearray, lines: list[int], end: int) -> Record | None:
        if self._query is not None and not self._wanted.needs_parsing:
            return Record(lines, None)
        ends = [*lines[1:], end]
        # Only a traceback's beginning matters beyond the first line.
        shown = list(zip(lines, ends, strict=True))[:8]
        parsed = parse_record([_text(data, start, stop) for start, stop in shown])
        return Record(lines, parsed.time) if self._wanted.fits(parsed, self._source) else None


def record_start(part: LogFile, offset: int) -> int:
    """Where the record begins that the line at `offset` belongs to."""
    for _ in range(_LINES_BACK):
        if offset <= 0:
            return 0
        lines = part.lines_before(offset, 1)
        if not lines:
            return offset
        here = part.lines_after(offset, 1)
        text = _clean(here[0].data) if here else ""
        if not _may_continue(text, _clean(lines[0].data)):
            return offset
        offset = lines[0].offset
    return offset


def _record_around(data: bytearray, at: int, floor: int) -> tuple[list[int], int]:
    """The lines of the record that a byte is in, and where the next record begins."""
    start = data.rfind(b"\n", 0, at) + 1
    for _ in range(_LINES_BACK):
        if start <= floor:
            break
        before = data.rfind(b"\n", 0, start - 1) + 1
        text = _text(data, start, _line_end(data, start))
        if not _may_continue(text, _text(data, before, start - 1)):
            break
        start = before
    folding = Folding()
    lines: list[int] = []
    while start < len(data):
        end = _line_end(data, start)
        if not folding.continues(_text(data, start, end)) and lines:
            if start > at:
                break
            # It did not go on with the line before after all.
            lines = []
        lines.append(start)
        start = end + 1
    return lines, min(start, len(data))


def _may_continue(text: str, before: str) -> bool:
    """Whether a line can belong to the one before it; if not, it surely begins a record."""
    if not text.strip() or continuation(text):
        return True
    return not has_head(text) and before.startswith((" ", "\t"))


def _line_end(data: bytearray, start: int) -> int:
    end = data.find(b"\n", start)
    return len(data) if end == -1 else end


def _text(data: bytearray, start: int, end: int) -> str:
    return _clean(bytes(data[start : min(end, start + _LONGEST_LOOKED_AT)]))


def _clean(data: bytes) -> str:
    return without_colours(decode_line(data))
