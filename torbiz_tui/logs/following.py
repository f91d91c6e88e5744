"""Following a log file: its lines from an offset on, then as they come."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

_CHUNK = 256 * 1024
_LONGEST_LINE = 1_000_000


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
            # Memory stays bounded when a program never ends its line.
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


async def follow(
    file: Path,
    offset: int = 0,
    *,
    poll_s: float = 0.2,
    ended: Callable[[], bool] | None = None,
) -> AsyncIterator[list[str]]:
    """Yield batches of lines from byte `offset` on, and then as the file grows.

    An empty batch says once that all that was there has been read. A file that does not exist yet
    is waited for. When it is replaced (rotation by rename) the rest of the old one is read first;
    when it shrinks (copy and truncate) reading begins anew. It never ends, unless `ended` (asked
    before each reading) says that nobody writes any more: then after the last line.
    """
    position = offset
    caught_up = False
    while True:
        last_round = ended is not None and ended()
        try:
            stream = await asyncio.to_thread(file.open, "rb")
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            if not caught_up:
                caught_up = True
                yield []
            if last_round:
                return
            await asyncio.sleep(poll_s)
            position = 0
            continue
        with stream:
            identity = _identity(os.fstat(stream.fileno()))
            assembler = LineAssembler()
            while True:
                last_round = ended is not None and ended()
                replaced = _replaced(file, identity)
                size = os.fstat(stream.fileno()).st_size
                if size < position:
                    position = 0
                    assembler = LineAssembler()
                while position < size:
                    stream.seek(position)
                    data = await asyncio.to_thread(stream.read, min(_CHUNK, size - position))
                    if not data:
                        break
                    position += len(data)
                    if lines := assembler.feed(data):
                        yield lines
                if (replaced or last_round) and (lines := assembler.finish()):
                    yield lines
                if last_round:
                    if not caught_up:
                        yield []
                    return
                if replaced:
                    break
                if not caught_up:
                    caught_up = True
                    yield []
                await asyncio.sleep(poll_s)
        position = 0


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _replaced(file: Path, identity: tuple[int, int]) -> bool:
    try:
        return _identity(file.stat()) != identity
    except OSError:
        return True
