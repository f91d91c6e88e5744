"""The fitting records of a piece of a log; a record is a line with what is folded into it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.filtering import Filter, parse_record, signs_of
from torbiz_tui.logs.literals import Literal
from torbiz_tui.logs.log_file import LogFile
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.parsing import HEAD, Folding, continuation, has_head, known_head
from torbiz_tui.logs.sanitizing import without_colours

_LONGEST_LOOKED_AT = 4096
_LINES_BACK = 2000
_LINES_PARSED = 8
_HEADS_REMEMBERED = 10_000


class Record(NamedTuple):
    """Where its lines begin, and the time it tells."""

    lines: list[int]
    time: datetime | None


class RecordScanner:
    """Finds what fits a filter in whole lines of a log; `source` is the log's name.

    It tells the times of records only if `timed` is set, or if the filter asks for them. `pace` is
    for where nobody waits for another thread.
    """

    def __init__(
        self, wanted: Filter, source: str = "", *, timed: bool = False, pace: Pace | None = None
    ) -> None:
        self._wanted = wanted
        self._source = source
        self._query = wanted.query()
        self._signs = [Literal([sign], folded=False) for sign in signs_of(wanted.levels)]
        self._fits: dict[tuple[bytes, bytes | None], bool] = {}
        self._timed = timed or wanted.since is not None or wanted.until is not None
        self._pace = pace or Pace()

    def records(self, data: bytearray) -> Iterator[Record]:
        """Fitting records; `data` are whole lines, the first of which begins a record."""
        if self._query is None and not self._signs:
            yield from self._of_all(data) if self._timed else self._by_head(data)
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
            return
        found: list[int] = []
        for sign in self._signs:
            self._pace.breathe()
            found += sign.positions(data, len(data))
        yield from sorted(found)

    def _by_head(self, data: bytearray) -> Iterator[Record]:
        """As `_of_all`, but where line follows line with a usual head these are taken as they are."""
        start, level, source = 0, b"", None
        for found in HEAD.finditer(data):
            self._pace.breathe()
            if found.start() > start or level:
                yield from self._segment(data, start, found.start(), level, source)
            start = found.start()
            level, source = found.groups()
        yield from self._segment(data, start, len(data), level, source)

    def _segment(
        self, data: bytearray, start: int, end: int, level: bytes, source: bytes | None
    ) -> Iterator[Record]:
        if not level or _line_end(data, start) + 1 < end:
            yield from self._of_all(data, start, end)
            return
        fits = self._fits.get((level, source))
        if fits is None:
            if len(self._fits) > _HEADS_REMEMBERED:
                self._fits.clear()
            fits = self._wanted.fits(known_head(level, source), self._source)
            self._fits[level, source] = fits
        if fits:
            yield Record([start], None)

    def _of_all(self, data: bytearray, start: int = 0, stop: int | None = None) -> Iterator[Record]:
        folding = Folding()
        lines: list[int] = []
        first = ""
        stop = len(data) if stop is None else stop
        while start < stop:
            end = _line_end(data, start)
            text = _text(data, start, end)
            if not folding.continues(text) or not lines:
                if lines:
                    self._pace.breathe()
                    if (record := self._fitting(data, lines, start, first)) is not None:
                        yield record
                lines, first = [], text
            lines.append(start)
            start = end + 1
        if lines and (record := self._fitting(data, lines, stop, first)) is not None:
            yield record

    def _fitting(
        self, data: bytearray, lines: list[int], end: int, first: str | None = None
    ) -> Record | None:
        """The record if it fits; `first` is the text of its first line, where that was read."""
        if not self._timed and not self._wanted.needs_parsing:
            return Record(lines, None)
        ends = [*lines[1:], end]
        # Only a traceback's beginning matters beyond the first line.
        shown = list(zip(lines, ends, strict=True))[first is not None : _LINES_PARSED]
        texts = [_text(data, start, stop) for start, stop in shown]
        parsed = parse_record(texts if first is None else [first, *texts])
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
