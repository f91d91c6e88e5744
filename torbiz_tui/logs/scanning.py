"""Going through files for lines that match, in pieces and without holding on to anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from torbiz_tui.logs.log_file import LogFile
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.query import Query

# Small enough for the processor's cache, and for other threads to get their turn in time; while one
# has work to do, each piece waits for it.
_PIECE = 512 * 1024
_SLOW_PIECE = 64 * 1024
_NEVER = threading.Event()


def matching_lines(
    part: LogFile, query: Query, start: int, end: int, stop: threading.Event = _NEVER
) -> Iterator[int]:
    """Where the matching lines between two offsets begin, downwards; `start` begins a line.

    In a line longer than 512 KiB a regular expression is not found over the edges of such pieces
    if it matches more than 4 KiB.
    """
    pace = Pace()
    buffer = bytearray(max(min(_PIECE, _SLOW_PIECE) if query.slow else _PIECE, 4 * query.overlap))
    position = line = start
    last = -1
    while position < end and not stop.is_set():
        length = min(part.read_into(buffer, position), end - position)
        if length <= 0:
            return
        whole = buffer.rfind(b"\n", 0, length) + 1
        at_end = position + length >= end
        used = length if at_end or not whole else whole
        pace.breathe()
        for at in query.positions(buffer, used):
            pace.breathe()
            begin = buffer.rfind(b"\n", 0, at) + 1
            found = position + begin if begin else line
            if found != last:
                last = found
                yield found
        if at_end:
            return
        if whole:
            position = line = position + whole
        else:
            position += length - query.overlap


def matching_lines_back(
    part: LogFile, query: Query, end: int, stop: threading.Event = _NEVER
) -> Iterator[int]:
    """As `matching_lines` from the beginning of the file to `end`, but upwards."""
    while end > 0 and not stop.is_set():
        start = part.line_start(max(0, end - _PIECE))
        yield from reversed(list(matching_lines(part, query, start, end, stop)))
        end = start
