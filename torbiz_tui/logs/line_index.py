"""Where the lines of a file begin, at 8 bytes for 64 KiB of it."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable

BLOCK = 64 * 1024
_FEW_BYTES = 256

Read = Callable[[int, int], bytes]
"""The bytes from an offset (first) on, so many (second) or fewer."""


class LineIndex:
    """Counts the line feeds of one file as it grows, and finds lines by number and by offset.

    It keeps how many there are before each 64 KiB block; where a line begins within its block is
    looked up in the file again. Numbers begin with 0. One thread at a time extends it, any may
    read it meanwhile.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._before = array("Q", [0])
        # In one piece, so that who reads never sees one without the other.
        self._seen = (0, 0)

    @property
    def size(self) -> int:
        """How many bytes from the beginning have been looked at."""
        return self._seen[0]

    @property
    def newlines(self) -> int:
        """How many line feeds are among them."""
        return self._seen[1]

    def extend(self, data: bytes | bytearray, length: int | None = None) -> None:
        """Count the bytes that follow those already looked at: `data`, or its first `length`."""
        size, newlines = self._seen
        end = len(data) if length is None else length
        at = 0
        while at < end:
            step = min(end - at, BLOCK - size % BLOCK)
            newlines += data.count(b"\n", at, at + step)
            at += step
            size += step
            if size % BLOCK == 0:
                self._before.append(newlines)
        self._seen = (size, newlines)

    def offset_of(self, number: int) -> int:
        """The byte where a line begins. Raises IndexError for a line that is not known."""
        size, newlines = self._seen
        if not 0 <= number <= newlines:
            raise IndexError(number)
        if number == 0:
            return 0
        block = bisect_left(self._before, number) - 1
        start = block * BLOCK
        data = self._read(start, min(BLOCK, size - start))
        return start + _nth_newline(data, number - self._before[block]) + 1

    def number_at(self, offset: int) -> int:
        """The number of the line that the byte at `offset` is in.

        Raises IndexError when it has not been looked at.
        """
        if not 0 <= offset <= self.size:
            raise IndexError(offset)
        block = offset // BLOCK
        inside = offset % BLOCK
        count = self._read(block * BLOCK, inside).count(b"\n") if inside else 0
        return self._before[block] + count

    def without_newline_after(self, offset: int) -> int:
        """How far there is surely no line feed from a block's beginning on; `offset` if unknown."""
        block = offset // BLOCK
        if offset % BLOCK or block >= len(self._before):
            return offset
        return (bisect_right(self._before, self._before[block], block) - 1) * BLOCK

    def without_newline_before(self, offset: int) -> int:
        """How far back there is surely no line feed before a block's beginning."""
        block = offset // BLOCK
        if offset % BLOCK or block >= len(self._before):
            return offset
        return bisect_left(self._before, self._before[block]) * BLOCK


def _nth_newline(data: bytes, count: int) -> int:
    """Where the `count`-th line feed is (from 1). Raises IndexError when there are fewer."""
    low, high = 0, len(data)
    while high - low > _FEW_BYTES:
        middle = (low + high) // 2
        found = data.count(b"\n", low, middle)
        if found >= count:
            high = middle
        else:
            low, count = middle, count - found
    at = low - 1
    for _ in range(count):
        at = data.find(b"\n", at + 1)
        if at == -1:
            raise IndexError(count)
    return at
