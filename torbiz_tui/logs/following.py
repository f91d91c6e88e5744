"""Following a log: its lines from an offset on, then as they come, through all rotations."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from torbiz_tui.logs.log_file import OFFSET_BITS
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.watching import Changes

_CHUNK = 256 * 1024
_LONGEST_LINE = 16 * 2**20


class LineAssembler:
    """Bytes in, whole lines out; UTF-8 characters and lines may be split anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes, without their ends."""
        text = self._rest + self._decoder.decode(data)
        lines = text.split("\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            # Memory stays bounded when a program never ends its line: it comes in pieces.
            lines.append(self._rest)
            self._rest = ""
        return [line.removesuffix("\r") for line in lines]

    def finish(self) -> list[str]:
        """What is left when nothing more comes: a last line without an end."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        self._decoder.reset()
        return [rest] if rest else []


def tail_offset(file: Path, lines: int) -> int:
    """The byte at which the last `lines` lines of the file begin; 0 when there is no such file."""
    try:
        with file.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            position, found, last = end, 0, True
            while position > 0:
                start = max(0, position - _CHUNK)
                stream.seek(start)
                block = stream.read(position - start)
                if last:
                    last = False
                    if block.endswith(b"\n"):
                        found -= 1
                at = len(block)
                while (at := block.rfind(b"\n", 0, at)) != -1:
                    found += 1
                    if found >= lines:
                        return start + at + 1
                position = start
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return 0
    return 0


def read_lines(file: Path, offset: int = 0) -> list[str]:
    """All lines of a file from a byte on; an unreadable or missing file has none."""
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            assembler = LineAssembler()
            return assembler.feed(stream.read()) + assembler.finish()
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return []


class Follower:
    """Reads a log from a byte on, piece by piece, each line once and whole.

    When the log is rotated by renaming, what was written to the old file until somebody wrote to
    the new one comes first; when it is copied and truncated, the rest comes from the copy. What is
    just truncated is gone. A file that is missing, a folder, or not to be read is waited for.
    """

    def __init__(self, log: Path | LogSeries, start: int = 0) -> None:
        """`start` is a byte of the file, or a place (see `RawLine.place`) of a series.

        The series is open already, and closed with this.
        """
        self._assembler = LineAssembler()
        if isinstance(log, LogSeries):
            self._series = log
            self._part, self._position = start >> OFFSET_BITS, start & (1 << OFFSET_BITS) - 1
        else:
            self._series = LogSeries(log, older=False)
            current = self._series.current
            self._part = current.part if current is not None else 0
            self._position = start if current is not None and start <= current.size else 0
        self.caught_up = False
        """Whether there was nothing left to read at the last reading."""

    @property
    def path(self) -> Path:
        """The file that is followed."""
        return self._series.path

    def read(self) -> list[str]:
        """The lines of the next piece, without their ends; ask again until `caught_up`."""
        self.caught_up = False
        self._series.look(read_from=self._part)
        part = self._series.part(self._part)
        # Known before the rest of the old file is read: only then that is its rest.
        successor = self._series.part_after(self._part)
        moved_on = self._series.has_moved_on(self._part)
        if part is not None:
            part.look()
            data = part.read(self._position, min(_CHUNK, part.size - self._position))
            part.look()
            if part.truncated:
                # Perhaps even while it was read.
                return []
            if data:
                self._position += len(data)
                return self._assembler.feed(data)
        if successor is None or (part is not None and not moved_on):
            self.caught_up = True
            return []
        self._part, self._position = successor.part, 0
        return self._assembler.finish()

    def finish(self) -> list[str]:
        """The last line, if it has no end."""
        return self._assembler.finish()

    def close(self) -> None:
        """Close the file."""
        self._series.close()


async def follow(
    log: Path | Follower,
    offset: int = 0,
    *,
    poll_s: float = 0.2,
    ended: Callable[[], bool] | None = None,
) -> AsyncIterator[list[str]]:
    """Yield batches of lines from byte `offset` on, and then as the file grows.

    A follower goes on where it is, and is closed in the end. An empty batch says once that all that was there has been read. It goes on as `Follower` does;
    the file is looked at every `poll_s` seconds and when the system tells of a change. It never
    ends, unless `ended` (asked before each reading) says that nobody writes any more: then after
    the last line.
    """
    follower = log if isinstance(log, Follower) else await asyncio.to_thread(Follower, log, offset)
    changes: Changes | None = None
    told = False
    try:
        while True:
            last_round = ended is not None and ended()
            while True:
                if lines := await asyncio.to_thread(follower.read):
                    yield lines
                elif follower.caught_up:
                    break
            if last_round and (lines := follower.finish()):
                yield lines
            if not told:
                told = True
                yield []
            if last_round:
                return
            changes = changes or Changes(follower.path)
            await changes.wait(poll_s)
    finally:
        follower.close()
        if changes is not None:
            changes.close()
