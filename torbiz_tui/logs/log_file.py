"""One generation of a log file, read by line without ever being loaded."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, time_ns
from typing import NamedTuple

from torbiz_tui.logs.line_index import BLOCK, LineIndex

LONGEST_READ = 64 * 1024
_CHUNK = 256 * 1024
_FEW_BYTES = 2048
OFFSET_BITS = 48
"""The low bits of a place, which hold the offset; the part stands above them."""
_COUNTED_AT_ONCE = 2**20
_TOLD_EVERY_S = 0.1
_REMEMBERED = 64
_TICK_NS = 20_000_000


class RawLine(NamedTuple):
    """A line as it stands in a file, without its line feed.

    `number` counts from 0 within its file and is None where it was not asked for or is not known
    yet (see `LogFile.number_at`). `data` is cut at 64 KiB, `length` is how many bytes the line really has. `ended` is false for a last line
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
        return self.part << OFFSET_BITS | self.offset


class _Descriptor:
    """Closed when nobody holds it any more: a thread may still be reading."""

    def __init__(self, path: Path) -> None:
        # A pipe would be waited for.
        self.number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def __del__(self) -> None:
        number = getattr(self, "number", None)
        if number is not None:
            os.close(number)


class LogFile:
    """An open file: its lines by number, from its end, and around any offset.

    The end is there at once; numbers are, once a background thread has counted the line feeds
    (about a second for 1 GB). Everything else costs the same at any size. Nothing but opening
    raises: what cannot be read (any more) is empty, and `problem` says why.
    """

    def __init__(self, path: Path, *, part: int = 0) -> None:
        """Open it. Raises OSError, also for what is no regular file."""
        self.path = path
        self.part = part
        self.problem = ""
        descriptor = _Descriptor(path)
        status = os.fstat(descriptor.number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        self._descriptor: _Descriptor | None = descriptor
        self.identity = (status.st_dev, status.st_ino)
        self.truncated = False
        """Emptied since, or emptied and written again: what was known of it is void."""
        self.linked = True
        """Whether it has a name, be it another one."""
        # In one piece, for other threads: the size, and the last bytes before it.
        self._end = (0, b"")
        self._stamp: tuple[int, int] | None = None
        self._index = LineIndex(self.read)
        self._lock = threading.Lock()
        self._counting = False
        self._on_change: Callable[[], None] | None = None
        self.look()

    @property
    def size(self) -> int:
        """Its bytes when it was last looked at."""
        return self._end[0]

    @property
    def last_bytes(self) -> bytes:
        """The 64 bytes before `size`, or as many as there are: they tell a copy of it."""
        return self._end[1]

    @property
    def known(self) -> int:
        """How many lines were counted so far; an unfinished last one counts when complete."""
        open_end = self.complete and self.last_bytes and not self.last_bytes.endswith(b"\n")
        return self._index.newlines + bool(open_end)

    @property
    def complete(self) -> bool:
        """Whether all lines up to `size` were counted, so that they have numbers."""
        return self._index.size >= self.size

    @property
    def progress(self) -> float:
        """The part of the file that was counted, 0 to 1."""
        return min(1.0, self._index.size / self.size) if self.size else 1.0

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Its size and the time of its last change in ns, as of the last look."""
        return self._stamp

    @property
    def modified(self) -> float:
        """When it was last written to, in seconds since 1970, as of the last look."""
        return self._stamp[1] / 1e9 if self._stamp is not None else 0.0

    def look(self) -> bool:
        """Take in what was appended, and see whether it was truncated; whether anything changed.

        Cheap enough for every frame; for one thread.
        """
        descriptor = self._descriptor
        if descriptor is None or self.truncated:
            return False
        try:
            status = os.fstat(descriptor.number)
        except OSError as error:
            # A network file system that has lost it.
            self.problem = f"{error.strerror or error}"
            return False
        self.linked = status.st_nlink > 0
        stamp = (status.st_size, status.st_mtime_ns)
        # Within a tick of the clock a file can change twice and have the same stamp.
        if stamp == self._stamp and time_ns() - status.st_mtime_ns > _TICK_NS:
            return False
        self._stamp = stamp
        if not self.intact(status.st_size):
            self.truncated = True
            return True
        if status.st_size == self.size:
            return False
        tail_at = max(0, status.st_size - _REMEMBERED)
        last_bytes = self.read(tail_at, status.st_size - tail_at)
        self._end = (tail_at + len(last_bytes), last_bytes)
        self._count()
        return True

    def intact(self, size: int | None = None) -> bool:
        """Whether what was known of it is still there; of `size` bytes, if these are known.

        What another thread has read in the meantime is worth nothing if it is not.
        """
        known, last_bytes = self._end
        if size is None:
            descriptor = self._descriptor
            if descriptor is None:
                return False
            size = os.fstat(descriptor.number).st_size
        # A file that was emptied and has outgrown its old size shows it in what stands there.
        at = known - len(last_bytes)
        return size >= known and self.read(at, len(last_bytes)) == last_bytes

    def is_at(self, path: Path) -> bool:
        """Whether a path leads to this file."""
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    # Counting

    def start_index(self, on_change: Callable[[], None] | None = None) -> None:
        """Count the lines in a thread; `on_change` is called there, ten times a second at most."""
        self._on_change = on_change
        with self._lock:
            if self._counting or self.complete:
                return
            self._counting = True
        threading.Thread(
            target=self._count_all, name=f"count {self.path.name}", daemon=True
        ).start()

    def _count(self) -> None:
        if self.size - self._index.size > _COUNTED_AT_ONCE:
            # A first look at a big file waits for `start_index`.
            if self._index.size:
                self.start_index(self._on_change)
            return
        with self._lock:
            if not self._counting:
                self._index.extend(self.read(self._index.size, self.size - self._index.size))

    def _count_all(self) -> None:
        buffer = bytearray(_CHUNK)
        told = monotonic()
        while True:
            descriptor = self._descriptor
            position = self._index.size
            wanted = min(_CHUNK, self.size - position)
            length = 0
            if descriptor is not None and not self.truncated and wanted > 0:
                # Reading lets other threads run, some thousand times a second.
                length = self._read_into(descriptor, buffer, position)
                self._index.extend(buffer, min(length, wanted))
            if not length:
                with self._lock:
                    if descriptor is not None and self._index.size < self.size and wanted <= 0:
                        continue
                    self._counting = False
                break
            if self._on_change is not None and monotonic() - told > _TOLD_EVERY_S:
                told = monotonic()
                self._on_change()
        if self._on_change is not None:
            self._on_change()

    def _read_into(self, descriptor: _Descriptor, buffer: bytearray, offset: int) -> int:
        try:
            return os.preadv(descriptor.number, [buffer], offset)
        except OSError as error:
            self.problem = f"{error.strerror or error}"
            return 0

    # Lines

    def line_range(self, first: int, count: int) -> list[RawLine]:
        """The lines from a number on, as far as they are known."""
        count = min(count, self.known - first)
        if count <= 0:
            return []
        try:
            return self.lines_after(self._index.offset_of(first), count, number=first)
        except IndexError:
            # Truncated since it was looked at.
            return []

    def tail(self, count: int) -> list[RawLine]:
        """The last lines, read backwards from the end: needs no index."""
        return self.lines_before(self.size, count)

    def lines_before(self, offset: int, count: int) -> list[RawLine]:
        """The `count` lines that end at or before a line's beginning, oldest first."""
        start = self.start_before(offset, count)
        number = self.number_at(start) if self.complete else None
        return self.lines_after(start, count, end=offset, number=number)

    def start_before(self, offset: int, count: int) -> int:
        """Where the `count`-th line before a line's beginning begins; 0 when there are fewer."""
        position = min(offset, self.size)
        if position > 0 and self.read(position - 1, 1) == b"\n":
            position -= 1
        while position > 0 and count > 0:
            position = self._index.without_newline_before(position)
            start = max(0, (position - 1) // BLOCK * BLOCK)
            block = self.read(start, position - start)
            at = len(block)
            while (at := block.rfind(b"\n", 0, at)) != -1:
                count -= 1
                if not count:
                    return start + at + 1
            position = start
        return 0 if count > 0 else offset

    def lines_after(
        self, offset: int, count: int, *, end: int | None = None, number: int | None = None
    ) -> list[RawLine]:
        """The lines from one that begins at `offset` on; `number` is that one's, if known."""
        end = self.size if end is None else min(end, self.size)
        lines: list[RawLine] = []
        wanted = min(LONGEST_READ, _FEW_BYTES * max(1, count))
        while offset < end and len(lines) < count:
            data = self.read(offset, min(wanted, end - offset))
            if not data:
                break
            start = 0
            while len(lines) < count and (at := data.find(b"\n", start)) != -1:
                lines.append(
                    RawLine(number, offset + start, data[start:at], at - start, True, self.part)
                )
                number = None if number is None else number + 1
                start = at + 1
            if not start and len(data) == wanted < LONGEST_READ:
                wanted = LONGEST_READ
                continue
            if not start:
                stop = self._newline_from(offset + len(data), end)
                ended = stop < end
                lines.append(RawLine(number, offset, data, stop - offset, ended, self.part))
                number = None if number is None else number + 1
                start = stop + 1 - offset
            offset += start
        return lines

    def line_start(self, offset: int) -> int:
        """Where the line begins that the byte at `offset` is in."""
        return self.start_before(offset, 1) if self.read(offset - 1, 1) != b"\n" else offset

    def line_end(self, offset: int) -> int:
        """Where the line ends, with its line feed, that the byte at `offset` is in."""
        return min(self.size, self._newline_from(offset, self.size) + 1)

    def whole(self, line: RawLine, limit: int = 64 * 2**20) -> bytes:
        """All bytes of a line that was cut, for copying; `limit` bytes at most."""
        if line.length <= len(line.data):
            return line.data
        return self.read(line.offset, min(line.length, limit))

    def offset_of(self, number: int) -> int:
        """Where a line begins. Raises IndexError for one that is not known."""
        return self._index.offset_of(number)

    def number_at(self, offset: int) -> int | None:
        """The number of the line that a byte is in, None while that is not known."""
        try:
            return self._index.number_at(offset)
        except IndexError:
            return None

    def _newline_from(self, offset: int, end: int) -> int:
        """Where the next line feed is, or `end`."""
        while offset < end:
            offset = self._index.without_newline_after(offset)
            data = self.read(offset, min(BLOCK - offset % BLOCK, end - offset))
            if not data:
                break
            if (at := data.find(b"\n")) != -1:
                return offset + at
            offset += len(data)
        return end

    # Bytes

    def read(self, offset: int, size: int) -> bytes:
        """Bytes as they stand in the file; fewer at its end, none when it cannot be read."""
        descriptor = self._descriptor
        if descriptor is None or offset < 0 or size <= 0:
            return b""
        try:
            return os.pread(descriptor.number, size, offset)
        except OSError as error:
            self.problem = f"{error.strerror or error}"
            return b""

    def read_into(self, buffer: bytearray, offset: int) -> int:
        """Fill a buffer from an offset on; how many bytes there were."""
        descriptor = self._descriptor
        return 0 if descriptor is None else self._read_into(descriptor, buffer, offset)

    def close(self) -> None:
        """Give the file back and end the counting."""
        self._descriptor = None
