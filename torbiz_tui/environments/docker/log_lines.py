"""What an engine sends of a container's log, made into whole lines with their time stamps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_NO_STAMP = "1970-01-01T00:00:00Z"
_HEADER_BYTES = 8
_ENGINE_ERROR = 3
# Docker cuts a line into entries of so many bytes.
_ENTRY_BYTES = 16_384
# A program that never ends its line must not take all memory.
LONGEST_LINE = 4 * 2**20
# Lines that are kept while the position is looked for that a log was read up to.
_HELD_LINES = 100_000
# Lines among which one that is sent again is recognized.
_RECENT_LINES = 10_000
# A line is as old as its first piece, which may have been written so long before its last one.
_MARGIN_S = 600


class StampedLine(NamedTuple):
    """A line of a container's log; `stamp` is the engine's own (RFC 3339, up to nanoseconds)."""

    stamp: str
    text: str


@dataclass(frozen=True)
class Position:
    """How far a log was read: up to the `count`-th line with this very stamp.

    A stamp alone does not do: Podman's have whole seconds.
    """

    stamp: str
    count: int

    @property
    def since(self) -> int:
        """The second from which to ask for the log, so that nothing after the position is left out."""
        return max(0, moment(self.stamp)[0] - _MARGIN_S)


def advance(position: Position | None, lines: Sequence[StampedLine]) -> Position | None:
    """The position after these lines too."""
    if not lines:
        return position
    stamp = lines[-1].stamp
    count = 0
    for line in reversed(lines):
        if line.stamp != stamp:
            return Position(stamp, count)
        count += 1
    if position is not None and position.stamp == stamp:
        count += position.count
    return Position(stamp, count)


def moment(stamp: str) -> tuple[int, int]:
    """Seconds since 1970 and nanoseconds. Raises ValueError for what is no RFC 3339 time."""
    match = _MOMENT.fullmatch(stamp)
    if match is None:
        raise ValueError(f"no RFC 3339 time: {stamp!r}")
    seconds = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).timestamp()
    return int(seconds), int((match[2] or "0")[:9].ljust(9, "0"))


def is_later(stamp: str, other: str) -> bool:
    """Whether a stamp lies after another one."""
    if len(stamp) == len(other) and stamp.endswith("Z") and other.endswith("Z"):
        return stamp > other
    return moment(stamp) > moment(other)


class _OpenLine:
    """A line whose end has not come yet."""

    def __init__(self, stamp: str) -> None:
        self.stamp = stamp
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.size += len(piece)

    def whole(self) -> StampedLine:
        return _line(self.stamp, b"".join(self.pieces))


class LineDecoder:
    """Chunks of the engine's answer in, whole lines out; chunks may be cut anywhere.

    `framed`: output and errors come in frames, as from every container without a terminal. Long
    lines come in entries, each with a stamp. Docker gives those of one line the same stamp. With
    `shared_stamps` false (Podman) each has its own; the line then has that of its last one, with
    which stamps never go back.
    """

    def __init__(self, *, framed: bool, shared_stamps: bool = True) -> None:
        self._framed = framed
        self._shared_stamps = shared_stamps
        self._rest = b""
        self._open: dict[int, _OpenLine] = {}
        self._last_stamp = _NO_STAMP
        self.complaints: list[str] = []
        """What the engine could not read of its log, in its words."""

    def feed(self, data: bytes) -> list[StampedLine]:
        """The lines that `data` completes."""
        lines: list[StampedLine] = []
        if not self._framed:
            *whole, self._rest = (self._rest + data).split(b"\n")
            for piece in whole:
                self._add_unframed(piece, lines)
            return lines
        data = self._rest + data
        at, end = 0, len(data)
        while end - at >= _HEADER_BYTES:
            begin = at + _HEADER_BYTES
            after = begin + int.from_bytes(data[at + 4 : begin], "big")
            if after > end:
                break
            self._add_entry(data[at], data[begin:after], lines)
            at = after
        self._rest = data[at:]
        return lines

    def finish(self) -> list[StampedLine]:
        """What is left when the container has ended: last lines without an end."""
        lines = [line.whole() for line in self._open.values()]
        self._open.clear()
        if not self._framed and self._rest:
            self._add_unframed(self._rest, lines)
        self._rest = b""
        return lines

    def _add_unframed(self, piece: bytes, lines: list[StampedLine]) -> None:
        stamp, text = self._split(piece)
        if len(text) > _ENTRY_BYTES:
            text = text.replace(stamp.encode() + b" ", b"")
        lines.append(_line(stamp, text))

    def _add_entry(self, kind: int, entry: bytes, lines: list[StampedLine]) -> None:
        if kind == _ENGINE_ERROR:
            self.complaints.append(entry.decode("utf-8", "replace").strip())
            return
        stamp, text = self._split(entry)
        ended = text.endswith(b"\n")
        line = self._open.get(kind)
        if line is not None and self._shared_stamps and line.stamp != stamp:
            # The program ended within a line, and was started again.
            lines.append(self._open.pop(kind).whole())
            line = None
        if line is None:
            if ended:
                lines.append(_line(stamp, text[:-1]))
                return
            line = self._open[kind] = _OpenLine(stamp)
        line.stamp = stamp
        line.add(text[:-1] if ended else text)
        if ended or line.size > LONGEST_LINE:
            lines.append(self._open.pop(kind).whole())

    def _split(self, entry: bytes) -> tuple[str, bytes]:
        match = _STAMP.match(entry)
        if match is None:
            return self._last_stamp, entry
        self._last_stamp = match[1].decode("ascii")
        return self._last_stamp, entry[match.end() :]


def _line(stamp: str, text: bytes) -> StampedLine:
    return StampedLine(stamp, text.removesuffix(b"\r").decode("utf-8", "replace"))


class Resumption:
    """Leaves out the lines up to a position, which an engine sends again.

    Engines begin at whole seconds, and lines of two outputs may be a little out of order; so what
    counts is where the position is in the log. When it is not in there any more (the engine has
    thrown its beginning away), all lines with later stamps are new.
    """

    def __init__(self, after: Position | None) -> None:
        self._after = after
        self._left = after.count if after is not None else 0
        self._held: list[StampedLine] = []

    def new(self, lines: list[StampedLine]) -> list[StampedLine]:
        """Those of the lines that come after the position."""
        after = self._after
        if after is None:
            return lines
        for index, line in enumerate(lines):
            if line.stamp == after.stamp:
                self._left -= 1
                if not self._left:
                    self._held.clear()
                    self._after = None
                    return lines[index + 1 :]
            elif is_later(line.stamp, after.stamp):
                self._held.append(line)
        return self.all_sent() if len(self._held) > _HELD_LINES else []

    def all_sent(self) -> list[StampedLine]:
        """All that was logged before has come: what is new of it, if the position never came.

        Everything that comes from now on is new.
        """
        held, self._held = self._held, []
        self._after = None
        return held


class Repeats:
    """Drops lines that a following engine sends twice, as Docker 20.10 does when it rotates a log.

    Only for stamps that no two lines share.
    """

    def __init__(self) -> None:
        self._recent: dict[str, None] = {}
        self._latest = ""

    def dropped(self, lines: list[StampedLine]) -> list[StampedLine]:
        """The lines that were not sent before."""
        recent = self._recent
        kept = []
        for line in lines:
            if line.stamp <= self._latest and line.stamp in recent and not _is_piece(line):
                continue
            kept.append(line)
            recent[line.stamp] = None
            self._latest = max(self._latest, line.stamp)
        if len(recent) > 2 * _RECENT_LINES:
            self._recent = dict.fromkeys(list(recent)[-_RECENT_LINES:])
        return kept


def _is_piece(line: StampedLine) -> bool:
    """Whether it may be a part of a line that never ends; the parts have one stamp."""
    return len(line.text) > LONGEST_LINE
