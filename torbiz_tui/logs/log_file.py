"""One generation of a log file, read by line without ever being loaded."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

LONGEST_READ = 64 * 1024


class RawLine(NamedTuple):
    """A line as it stands in a file, without its line feed.

    `number` counts from 0 within its file and is None until the file is indexed so far. `data` is
    cut at 64 KiB, `length` is how many bytes the line really has. `ended` is false for a last line
    to which more may be added. `part` tells the files of a series apart, `source` those of a merge.
    """

    number: int | None
    offset: int
    data: bytes
    length: int
    ended: bool = True
    part: int = 0
    source: int = 0

    @property
    def place(self) -> int:
        """A number that orders the lines of one series and stays theirs."""
        return self.part << 48 | self.offset


class Change(Enum):
    """What became of a file since it was last looked at."""

    NOTHING = "nothing"
    GREW = "grew"
    TRUNCATED = "truncated"
    """Emptied, or emptied and written again: what was known of it is void."""
    REPLACED = "replaced"
    """Its name leads to another file, or to none that can be read; this one can still be read."""


class LogFile:
    """An open file: its lines by number, from its end, and around any offset.

    The end is there at once; numbers are, once a background thread has counted the line feeds
    (about a second for 1 GB). Everything else costs the same at any size. After `close`, or when
    the file was truncated below, ranges are empty; nothing raises.
    """

    def __init__(self, path: Path, *, part: int = 0) -> None:
        """Open it. Raises OSError, also for what is no regular file."""
        self.path = path
        self.part = part

    @property
    def size(self) -> int:
        """Its bytes when it was last looked at."""
        raise NotImplementedError

    @property
    def known(self) -> int:
        """How many lines were counted so far; an unfinished last one counts when complete."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether all lines up to `size` were counted, so that they have numbers."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """The part of the file that was counted, 0 to 1."""
        raise NotImplementedError

    def start_index(self, on_change: Callable[[], None] | None = None) -> None:
        """Count the lines in a thread; `on_change` is called there, ten times a second at most."""
        raise NotImplementedError

    def look(self) -> Change:
        """See what became of the file; growth is counted at once. Cheap enough for every frame."""
        raise NotImplementedError

    def line_range(self, first: int, count: int) -> list[RawLine]:
        """The lines from a number on, as far as they are known."""
        raise NotImplementedError

    def tail(self, count: int) -> list[RawLine]:
        """The last lines, read backwards from the end: needs no index."""
        return self.lines_before(self.size, count)

    def lines_before(self, offset: int, count: int) -> list[RawLine]:
        """The `count` lines that end at or before a line's beginning, oldest first."""
        raise NotImplementedError

    def lines_after(self, offset: int, count: int) -> list[RawLine]:
        """The lines from one that begins at `offset` on."""
        raise NotImplementedError

    def line_start(self, offset: int) -> int:
        """Where the line begins that the byte at `offset` is in."""
        raise NotImplementedError

    def whole(self, line: RawLine, limit: int = 64 * 2**20) -> bytes:
        """All bytes of a line that was cut, for copying; `limit` bytes at most."""
        raise NotImplementedError

    def offset_of(self, number: int) -> int:
        """Where a line begins. Raises IndexError for one that is not known."""
        raise NotImplementedError

    def number_at(self, offset: int) -> int | None:
        """The number of the line that a byte is in, None while that is not known."""
        raise NotImplementedError

    def read(self, offset: int, size: int) -> bytes:
        """Bytes as they stand in the file; fewer at its end."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the file back and end the counting."""
        raise NotImplementedError
