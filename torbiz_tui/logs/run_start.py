"""Where the output of one run begins in a log that many have written to, also after rotations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from torbiz_tui.logs.following import Follower
from torbiz_tui.logs.log_file import OFFSET_BITS, LogFile
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.sanitizing import sanitize_line

_LOOKED_AGAIN = 5


@dataclass(frozen=True)
class RunStart:
    """The output of a run begins at byte `offset` of its log, behind the line `heading`.

    A log is rotated as a whole, so the offset stays; the heading tells in which of its files.
    Where there is no heading (an earlier version wrote none) only the log itself is looked at.
    """

    offset: int = 0
    heading: str = ""

    def place(self, parts: Sequence[LogFile]) -> tuple[int, int]:
        """Index of the part and the offset in it; the oldest that is left if it is gone."""
        heading = self.heading.encode()
        for index in range(len(parts) - 1, -1, -1):
            if not heading:
                return index, self.offset if self.offset <= parts[index].size else 0
            if parts[index].read(self.offset - len(heading), len(heading)) == heading:
                return index, self.offset
        return 0, 0


def begin_run(log: IO[bytes], title: str) -> RunStart:
    """Write a line that tells what begins here to a log that is open to append.

    On a full disk there is none.
    """
    now = datetime.now().astimezone()
    stamp = f"{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}"
    heading = f"{stamp} [INFO] [torbiz] ==== {sanitize_line(title)} ====\n".encode()
    with contextlib.suppress(OSError):
        if os.write(log.fileno(), heading) == len(heading):
            # With several that write the position is known only after that.
            return RunStart(os.lseek(log.fileno(), 0, os.SEEK_CUR), heading.decode())
    return RunStart(os.lseek(log.fileno(), 0, os.SEEK_END))


def run_follower(file: Path, start: RunStart) -> Follower:
    """A follower that begins where a run begins, wherever that is now. Blocks."""
    if not start.heading:
        return Follower(file, start.offset)
    series = LogSeries(file)
    place = 0
    for _ in range(_LOOKED_AGAIN):
        parts = series.parts
        if parts:
            index, offset = start.place(parts)
            place = parts[index].part << OFFSET_BITS | offset
        series.look(read_from=place >> OFFSET_BITS)
        # It may have been rotated just now.
        if series.parts == parts:
            break
    return Follower(series, place)


def last_of_run(file: Path, start: RunStart, count: int) -> list[bytes]:
    """The last lines of a run, oldest first, `count` at most and each cut at 64 KiB."""
    series = LogSeries(file, older=bool(start.heading))
    lines: list[bytes] = []
    first, offset = start.place(series.parts)
    for index in range(len(series.parts) - 1, first - 1, -1):
        found = series.parts[index].tail(count - len(lines))
        begin = offset if index == first else 0
        lines[:0] = [line.data for line in found if line.offset >= begin]
        if len(lines) >= count:
            break
    series.close()
    return lines
