"""Lines of several logs as one, by their time, as they come."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime
from time import monotonic

from torbiz_tui.logs.parsing import parse


class LineMerger:
    """Merges lines as they come: holds them for a moment, so that the sources can catch up.

    Lines that tell no time stay behind the line before them in their source; lines of the same
    time keep the order of the sources, with those that were not named behind the others. A
    source's own order is never changed.
    """

    def __init__(self, sources: Sequence[str] = (), *, hold_s: float = 0.3) -> None:
        self.sources = tuple(sources)
        self._hold_s = hold_s
        self._last: dict[str, float] = {}
        self._added = 0
        # Time, the source's place, the order of adding; when it was added, and the line.
        self._held: list[tuple[float, int, int, float, str]] = []

    def add(self, source: str, lines: Sequence[str], *, now: float | None = None) -> None:
        """Take in lines of a source, decoded and without colours.

        `now` is the time of `monotonic` by which they are held.
        """
        arrived = monotonic() if now is None else now
        if source not in self.sources:
            self.sources = (*self.sources, source)
        index = self.sources.index(source)
        last = self._last.get(source, 0.0)
        for line in lines:
            time = parse(line).time
            if time is not None:
                last = max(last, time.timestamp())
            elif not last:
                last = datetime.now().astimezone().timestamp()
            self._added += 1
            heapq.heappush(self._held, (last, index, self._added, arrived, line))
        self._last[source] = last

    def ready(self, *, everything: bool = False, now: float | None = None) -> list[tuple[str, str]]:
        """Source and line of what has been held long enough, or of all there is."""
        due = (monotonic() if now is None else now) - self._hold_s
        latest = max(
            (time for time, _, _, arrived, _ in self._held if arrived <= due), default=None
        )
        found: list[tuple[str, str]] = []
        while self._held and (everything or (latest is not None and self._held[0][0] <= latest)):
            _, index, _, _, line = heapq.heappop(self._held)
            found.append((self.sources[index], line))
        return found
