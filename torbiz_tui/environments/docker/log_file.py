"""container.log: a container's log as a file that tells itself how far it goes.

A line is the engine's stamp, a space and the text. A heading begins the part of a container:
`==== container NAME ID …`, with `after STAMP COUNT` where the part goes on another one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.environments.docker.log_lines import Position, StampedLine
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.writing import KEPT_FILES, MAX_BYTES

LOG_NAME = "container.log"
_MARK = b"==== "
_HEADING = re.compile(
    rb"==== container (?P<name>\S+) (?P<id>[0-9a-f]+) (?:from (?P<first>\S+)"
    rb"|after (?P<stamp>\S+) (?P<count>\d+)) ====\n"
)
_STAMPED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ")


class ContainerLogFile:
    """Appends one container's lines; for one process at a time.

    It is rotated when it has grown past `max_bytes`. Methods block; they raise OSError, and then
    have written nothing.
    """

    def __init__(
        self, file: Path, name: str, container_id: str, *, max_bytes: int = MAX_BYTES
    ) -> None:
        self._file = file
        self._name = name
        self._id = container_id
        self._max_bytes = max_bytes
        self._descriptor: int | None = None
        self._goes_on = False
        self._size = -1

    def position(self) -> Position | None:
        """How far this container's log was written, also in files that were rotated away."""
        for number in range(KEPT_FILES + 1):
            part = _last_part(self._numbered(number), self._id.encode())
            if part is not None:
                self._goes_on = part.at_end and not number
                return part.position
        return None

    def append(self, lines: Sequence[StampedLine], after: Position | None) -> None:
        """Write lines, those after the position `after`."""
        descriptor = self._opened()
        data = _written(lines)
        size = os.fstat(descriptor).st_size
        if size > self._size > 0:
            # What is left of a writing that failed.
            os.ftruncate(descriptor, self._size)
            size = self._size
        if size != self._size or not size:
            # Another container's part, a new file, or one that somebody has emptied.
            data = self._heading(lines[0], after) + data
        try:
            _write_all(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        self._size = size + len(data)

    def _heading(self, first: StampedLine, after: Position | None) -> bytes:
        place = f"from {first.stamp}" if after is None else f"after {after.stamp} {after.count}"
        return f"==== container {self._name} {self._id} {place} ====\n".encode()

    def _opened(self) -> int:
        if self._descriptor is not None and self._unusable(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._rotate()
            # The container can write to the folder: it must not lead elsewhere.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._file, flags, 0o600)
            size = _cut_torn_line(self._descriptor)
            self._size = size if self._goes_on else -1
            self._goes_on = False
        return self._descriptor

    def _unusable(self, descriptor: int) -> bool:
        mine = os.fstat(descriptor)
        try:
            now = self._file.lstat()
        except FileNotFoundError:
            return True
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino) or (
            mine.st_size > self._max_bytes
        )

    def _rotate(self) -> None:
        try:
            if self._file.lstat().st_size <= self._max_bytes:
                return
        except FileNotFoundError:
            return
        for number in range(KEPT_FILES, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.name}.{number}") if number else self._file

    def close(self) -> None:
        """Close the file; `append` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _written(lines: Sequence[StampedLine]) -> bytes:
    """The lines as they stand in the file, without tokens."""
    text = "".join([f"{stamp} {text}\n" for stamp, text in lines])
    # Most have none; one look at all of them takes a fraction of one at each.
    if redact(text) != text:
        text = "".join([f"{stamp} {redact(text)}\n" for stamp, text in lines])
    return text.encode("utf-8", "replace")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _cut_torn_line(descriptor: int) -> int:
    """Remove what a killed process has written of a line that it could not finish; the size."""
    end = os.fstat(descriptor).st_size
    keep = end
    while keep:
        start = max(0, keep - 65_536)
        at = os.pread(descriptor, keep - start, start).rfind(b"\n")
        keep = start + at + 1
        if at != -1:
            break
    if keep != end:
        os.ftruncate(descriptor, keep)
    return keep


@dataclass(frozen=True)
class _Part:
    """The last part of a container in a file; `at_end`: no other container's part follows."""

    position: Position | None
    at_end: bool


def _last_part(file: Path, container_id: bytes) -> _Part | None:
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return None
        stream = file.open("rb")
    except FileNotFoundError:
        return None
    found, mine = False, False
    stamp, count = b"", 0
    with stream:
        for line in stream:
            if line.startswith(_MARK):
                heading = _HEADING.fullmatch(line)
                mine = heading is not None and heading["id"] == container_id
                if heading is not None and mine:
                    found = True
                    stamp, count = heading["stamp"] or b"", int(heading["count"] or 0)
            elif mine and line.endswith(b"\n") and (match := _STAMPED.match(line)):
                count = count + 1 if match[1] == stamp else 1
                stamp = match[1]
    if not found:
        return None
    return _Part(Position(stamp.decode("ascii"), count) if stamp else None, at_end=mine)
