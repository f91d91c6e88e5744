"""How `logs` reads: what a log has to say already, what follows, and several logs by time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from torbiz_tui.logs.backlog import Backlog, last_place, time_at
from torbiz_tui.logs.filtering import Filter, LineFilter
from torbiz_tui.logs.following import Follower, follow
from torbiz_tui.logs.log_file import OFFSET_BITS
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.merging import LineMerger
from torbiz_tui.logs.parsing import parse
from torbiz_tui.logs.sanitizing import without_colours
from torbiz_tui.logs.sources import LogSource

_MERGED_EVERY_S = 0.1


@dataclass(frozen=True)
class Wanted:
    """What is to be read of each log: the last `lines` (None: all), and of these what fits."""

    lines: int | None
    fitting: Filter


class Reading:
    """One log being read, with what was rotated away, and on through rotations."""

    def __init__(self, source: LogSource, wanted: Wanted, *, filtered: bool = True) -> None:
        """`filtered` false leaves the filter to who reads."""
        self.source = source
        self._series = series = LogSeries(source.file)
        self.problem = series.problem
        """Why it cannot be read; empty when it can."""
        self.modified = series.current.modified if series.current is not None else 0.0
        self.count = 0
        """How many lines there are to begin with, where their number was limited."""
        self._backlog: Backlog | None = None
        fitting = wanted.fitting if filtered else Filter()
        if wanted.lines is not None:
            place, self.count = last_place(series, wanted.lines)
        elif fitting.empty:
            place = series.parts[0].part << OFFSET_BITS if series.parts else 0
        else:
            self._backlog = Backlog(series, fitting, source.name)
            place = self._backlog.place
        last_time = None if wanted.fitting.empty else time_at(series, place)
        self._filter = LineFilter(fitting, source.name, time=last_time)
        self.filter = LineFilter(wanted.fitting, source.name, time=last_time)
        """The filter for who reads."""
        self._follower = Follower(series, place)

    def earlier(self, *, finish: bool) -> Iterator[list[str]]:
        """What is there, by pieces that may be empty; with `finish` also a last line without an end."""
        if self._backlog is not None:
            yield from map(_readable, self._backlog.pieces())
            self._backlog = None
        while True:
            yield self._filter.feed(_readable(self._follower.read()))
            if self._follower.caught_up:
                break
        if finish:
            yield self._filter.feed(_readable(self._follower.finish()))
            self._follower.close()

    async def all(self) -> AsyncIterator[list[str]]:
        """What is there and was not read yet, and what comes after it, without an end."""
        for lines in self.earlier(finish=False):
            if lines:
                yield lines
            await asyncio.sleep(0)
        async for lines in follow(self._follower):
            if found := self._filter.feed(_readable(lines)):
                yield found


async def merged(
    readings: Sequence[Reading], wanted: Wanted, *, finish: bool
) -> AsyncIterator[tuple[Reading, list[str]]]:
    """What is there in several logs, by time; the last `wanted.lines` of all together.

    Memory holds a piece of each. Lines that tell no time stay behind the one before them.
    """
    heads = [_Head(reading, finish=finish) for reading in readings]
    skipped = 0
    if wanted.lines is not None:
        skipped = max(0, sum(reading.count for reading in readings) - wanted.lines)
    while True:
        for head in heads:
            await head.refill()
        waiting = [(head.lines[0][0], at) for at, head in enumerate(heads) if head.lines]
        if not waiting:
            return
        first, *others = sorted(waiting)
        head = heads[first[1]]
        lines = head.take(others[0] if others else None, first[1])
        if skipped:
            skipped, lines = max(0, skipped - len(lines)), lines[skipped:]
        if wanted.lines is not None:
            lines = head.reading.filter.feed(lines)
        yield head.reading, lines


class _Head:
    """The next lines of one of the merged logs, with times that never fall."""

    def __init__(self, reading: Reading, *, finish: bool) -> None:
        self.reading = reading
        self.lines: deque[tuple[float, str]] = deque()
        self._pieces = reading.earlier(finish=finish)
        self._last = 0.0

    async def refill(self) -> None:
        """Have some lines, as long as there are any."""
        while not self.lines and (piece := next(self._pieces, None)) is not None:
            self._take_in(piece)
            # Let a Ctrl-C through.
            await asyncio.sleep(0)

    def _take_in(self, piece: Sequence[str]) -> None:
        times = [parse(line).time for line in piece]
        if not self._last:
            known = next((time.timestamp() for time in times if time is not None), None)
            self._last = self.reading.modified if known is None else known
        for time, line in zip(times, piece, strict=True):
            if time is not None:
                self._last = max(self._last, time.timestamp())
            self.lines.append((self._last, line))

    def take(self, before: tuple[float, int] | None, at: int) -> list[str]:
        """The lines that come before the next one of the others."""
        taken: list[str] = []
        while self.lines and (before is None or (self.lines[0][0], at) < before):
            taken.append(self.lines.popleft()[1])
        return taken


class LiveMerge:
    """Lines of several logs as they come, held for a moment so that they can be put in order."""

    def __init__(self) -> None:
        self._merger = LineMerger()
        self._readings: dict[str, Reading] = {}

    async def take_in(self, reading: Reading) -> None:
        """Read a log, without an end."""
        self._readings[reading.source.name] = reading
        async for lines in reading.all():
            self._merger.add(reading.source.name, lines)

    async def ready(self) -> AsyncIterator[tuple[Reading, list[str]]]:
        """What has been held long enough, without an end."""
        while True:
            await asyncio.sleep(_MERGED_EVERY_S)
            for name, lines in groupby(self._merger.ready(), key=lambda one: one[0]):
                reading = self._readings[name]
                yield reading, [line for _, line in lines]


def _readable(lines: Sequence[str]) -> list[str]:
    """Lines as filters want them: without colours."""
    return [without_colours(line) for line in lines]
