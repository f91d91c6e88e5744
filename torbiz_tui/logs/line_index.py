"""Where the lines of a file begin, at 8 bytes for 64 KiB of it."""

from __future__ import annotations

from array import array
from collections.abc import Callable

BLOCK = 64 * 1024

Read = Callable[[int, int], bytes | bytearray]
"""Up to so many bytes (first) from an offset (second)."""


class LineIndex:
    """Counts the line feeds of one file as it grows, and finds lines by number and by offset.

    It keeps how many there are before each 64 KiB block; where a line begins within its block is
    looked up in the file again. Numbers begin with 0. One thread extends it, any may read it.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        # Line feeds before each block; the last entry is for the block that is not complete.
        self._before = array("Q", [0])
        self._in_last = 0
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes from the beginning have been looked at."""
        return self._size

    @property
    def newlines(self) -> int:
        """How many line feeds are among them."""
        return self._before[-1] + self._in_last

    def extend(self, data: bytes | bytearray | memoryview) -> None:
        """Count the bytes that follow those already looked at."""
        raise NotImplementedError

    def offset_of(self, number: int) -> int:
        """The byte where a line begins. Raises IndexError for a line that is not known."""
        raise NotImplementedError

    def number_at(self, offset: int) -> int:
        """The number of the line that the byte at `offset` is in.

        Raises IndexError when it has not been looked at.
        """
        raise NotImplementedError
