"""Going through files for lines that match, in pieces and without holding on to anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from torbiz_tui.logs.line_index import BLOCK
from torbiz_tui.logs.log_file import LogFile
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.query import Query

# Small enough for the processor's cache, and for other threads to get their turn in time; while one
# has work to do, each piece waits for it.
_PIECE = 512 * 1024
_SLOW_PIECE = 64 * 1024
_LINE = 4096
_NEVER = threading.Event()


def matching_lines(
    part: LogFile,
    query: Query,
    start: int,
    end: int,
    stop: threading.Event = _NEVER,
    buffer: bytearray | None = None,
) -> Iterator[int]:
    """Where the matching lines between two offsets begin, downwards; `start` begins a line.

    `buffer` is one of `buffer_for` the query, for who calls this again and again.

    In a line longer than 512 KiB a regular expression is not found over the edges of such pieces
    if it matches more than 4 KiB.
    """
    pace = Pace()
    buffer = buffer_for(query) if buffer is None else buffer
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


def buffer_for(query: Query) -> bytearray:
    """What a file is read into: to get so much memory anew takes as long as to look through it."""
    piece = min(_PIECE, _SLOW_PIECE) if query.slow else _PIECE
    return bytearray(max(piece, 4 * query.overlap))


def matching_lines_back(
    part: LogFile, query: Query, end: int, stop: threading.Event = _NEVER
) -> Iterator[int]:
    """As `matching_lines` from the beginning of the file to `end`, but upwards."""
    buffer = buffer_for(query)
    while end > 0 and not stop.is_set():
        # Where a line begins is looked for from the beginning of a block on.
        at = -((_PIECE - end) // BLOCK) * BLOCK + _LINE
        start = part.line_start(at) if 0 < at < end else 0
        yield from reversed(list(matching_lines(part, query, start, end, stop, buffer)))
        end = start
