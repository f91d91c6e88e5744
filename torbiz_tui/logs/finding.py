"""Going to lines of a view by what they are: of a moment, errors."""

from __future__ import annotations

import re
import threading
from datetime import datetime

from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.filtering import levels_from, signs_of
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.parsing import continuation, parse
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.sanitizing import without_colours
from torbiz_tui.logs.searching import Search
from torbiz_tui.logs.times import line_at, line_time
from torbiz_tui.logs.views import LineView, WholeView

_ERRORS = levels_from("error")
# What stands in every line of an error; most of the others do not have it.
_SIGN = "|".join(sorted(re.escape(sign.decode()) for sign in signs_of(_ERRORS)))
_PARSED_BYTES = 4096
_BATCH = 20
_LOOKED_AT = 500
_FEW = 64


def first_since(view: LineView, moment: datetime) -> RawLine | None:
    """The first line of a moment or later; None when all are earlier. Call it in a thread.

    Lines that tell no time count as of the line before.
    """
    if isinstance(view, WholeView):
        return line_at(view.series, moment)
    low, high = 0, view.count
    while high - low > _FEW:
        middle = (low + high) // 2
        found = _first_timed(view, middle)
        if found is not None and found[1] < moment:
            low = found[0] + 1
        else:
            high = middle
    while (found := _first_timed(view, low)) is not None:
        if found[1] >= moment:
            return found[2]
        low = found[0] + 1
    return None


def _first_timed(view: LineView, index: int) -> tuple[int, datetime, RawLine] | None:
    for first in range(index, index + _LOOKED_AT, _BATCH):
        lines = view.lines(first, _BATCH)
        for at, line in enumerate(lines, first):
            time = line_time(line)
            if time is not None:
                return at, time, line
        if len(lines) < _BATCH:
            break
    return None


def next_error(
    view: LineView,
    start: RawLine | None,
    direction: int,
    stop: threading.Event,
    *,
    itself: bool = False,
) -> RawLine | None:
    """The next line below (1) or above (-1) `start`, or it `itself`, that begins an error.

    None as `start` is the beginning or the end. A traceback counts once. None is returned when
    there is none, or when `stop` was set. Call it in a thread.
    """
    if itself and start is not None and _begins_error(view, start):
        return start
    search = Search(view, Query(_SIGN, regex=True))
    line = start
    while not stop.is_set():
        line = search.find(line, direction, stop)
        if line is None or _begins_error(view, line):
            return line
    return None


def _begins_error(view: LineView, line: RawLine) -> bool:
    text = _text(line)
    if parse(text).level not in _ERRORS:
        return False
    if not continuation(text):
        # The last line of a traceback names the exception.
        return not _before(view, line).startswith((" ", "\t"))
    # A traceback by itself, not the one of an error that was told.
    before = _before(view, line)
    return not text.startswith((" ", "\t")) and parse(before).level not in _ERRORS


def _before(view: LineView, line: RawLine) -> str:
    if isinstance(view, WholeView):
        # It has no index until its lines are counted.
        part = view.series.part(line.part)
        lines = part.lines_before(line.offset, 1) if part is not None else []
    else:
        index = view.index_of(line)
        lines = view.lines(index - 1, 1) if index > 0 else []
    return _text(lines[0]) if lines else ""


def _text(line: RawLine) -> str:
    return without_colours(decode_line(line.data[:_PARSED_BYTES]))
