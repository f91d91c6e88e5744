"""Several logs as one list of lines, by time, merged in the background."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Mapping

from torbiz_tui.logs.background_view import BackgroundView
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_file import OFFSET_BITS, RawLine
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.record_reader import PlacedRecord, RecordReader

_NOTICED = 500
# So many lines back a late line is put where it belongs.
_LATE = 5000


class MergedView(BackgroundView):
    """The lines of several logs by time (a `LineView`), merged from the end backwards.

    `lines` have `source` set to the index in `names`. The last `limit` lines are merged;
    `complete` tells when that is done, `cut` whether there were more. A line takes 9 bytes, one
    that came since the beginning 17.
    """

    def __init__(
        self,
        logs: Mapping[str, LogSeries],
        wanted: Filter | None = None,
        *,
        limit: int = 1_000_000,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Begin to merge; `on_change` is called in the thread, ten times a second at most."""
        self.names = tuple(logs)
        self.logs = tuple(logs.values())
        super().__init__(self.logs, on_change)
        self.cut = False
        wanted = wanted or Filter()
        self._sources = [
            _Source(index, RecordReader(series, wanted, name, timed=True), series)
            for index, (name, series) in enumerate(logs.items())
        ]
        self._limit = limit
        self._older, self._older_from = array("Q"), array("B")
        self._newer, self._newer_from, self._newer_times = array("Q"), array("B"), array("d")
        self._lock = threading.Lock()
        self._start("merge logs")

    @property
    def count(self) -> int:
        """How many lines were merged so far."""
        return len(self._older_from) + len(self._newer_from)

    @property
    def progress(self) -> float:
        """How much of that was done, 0 to 1."""
        if self._complete:
            return 1.0
        read = min((source.reader.progress for source in self._sources), default=1.0)
        return max(read, len(self._older) / self._limit)

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        with self._lock:
            middle = len(self._older)
            chosen = [
                (self._older[middle - 1 - index], self._older_from[middle - 1 - index])
                if index < middle
                else (self._newer[index - middle], self._newer_from[index - middle])
                for index in range(max(0, first), min(first + count, self.count))
            ]
        found: list[RawLine] = []
        for place, source in chosen:
            part = self.logs[source].part(place >> OFFSET_BITS)
            if part is not None:
                lines = part.lines_after(place & (1 << OFFSET_BITS) - 1, 1)
                found += [line._replace(source=source) for line in lines]
        return found

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here any more, the end."""
        with self._lock:
            at = _find(self._newer, self._newer_from, line)
            if at is not None:
                return len(self._older) + at
            at = _find(self._older, self._older_from, line)
            return self.count if at is None else len(self._older) - 1 - at

    def whole(self, line: RawLine, limit: int = 2**20) -> bytes:
        """All bytes of a line that was cut, `limit` at most."""
        return self.logs[line.source].whole(line, limit)

    def _go_back(self) -> bool:
        """Merge some more records; whether there may be others."""
        if self._complete:
            return False
        pace = Pace()
        left = _NOTICED
        while left > 0:
            pace.breathe()
            # Going backwards, of the same time the last source comes first.
            waiting = sorted(
                (source.held[-1][0], source.index) for source in self._sources if source.has_more()
            )
            if not waiting or len(self._older) >= self._limit:
                self.cut = bool(waiting)
                self._complete = True
                self._telling.note()
                return False
            latest = self._sources[waiting[-1][1]]
            after = waiting[-2] if len(waiting) > 1 else None
            places = latest.take(after, min(left, self._limit - len(self._older)))
            left -= len(places)
            with self._lock:
                self._older.extend(places)
                self._older_from.extend([latest.index] * len(places))
                self._version += 1
        self._telling.note()
        self._telling.tell()
        return True

    def _go_forward(self) -> bool:
        came: list[tuple[float, int, list[int]]] = []
        working = False
        for source in self._sources:
            found = source.reader.forward()
            working |= found is not None
            came += [(time, source.index, places) for time, places in source.timed(found or [])]
        # Of the same time the first source comes first; the sorting is stable.
        for time, index, places in sorted(came, key=lambda one: one[:2]):
            self._insert(time, index, places)
        if came:
            self._telling.note()
            self._telling.tell()
        return working

    def _insert(self, time: float, index: int, places: list[int]) -> None:
        end = len(self._newer)
        at = end
        while at > max(0, end - _LATE) and self._newer_times[at - 1] > time:
            if self._newer_from[at - 1] == index:
                break
            at -= 1
        with self._lock:
            size = len(places)
            self._newer[at:at] = array("Q", places)
            self._newer_from[at:at] = array("B", [index] * size)
            self._newer_times[at:at] = array("d", [time] * size)
            self._version += at < end

    def _forget_gone(self) -> None:
        for source in self._sources:
            there = {part.part for part in source.series.parts}
            if all(part.part in there for part in source.reader.parts):
                continue
            source.reader.parts = source.series.parts
            self._forget(source.index, there)

    def _forget(self, index: int, there: set[int]) -> None:
        def keeps(place: int, source: int) -> bool:
            return source != index or place >> OFFSET_BITS in there

        older = [*map(keeps, self._older, self._older_from)]
        newer = [*map(keeps, self._newer, self._newer_from)]
        with self._lock:
            self._older = _kept(self._older, older)
            self._older_from = _kept(self._older_from, older)
            self._newer = _kept(self._newer, newer)
            self._newer_from = _kept(self._newer_from, newer)
            self._newer_times = _kept(self._newer_times, newer)
            self._version += 1
        self._telling.note()


class _Source:
    """One of the logs, read backwards a piece at a time."""

    def __init__(self, index: int, reader: RecordReader, series: LogSeries) -> None:
        self.index = index
        self.reader = reader
        self.series = series
        self.held: list[tuple[float, list[int]]] = []
        self._earliest = float("inf")
        self._latest = 0.0

    def has_more(self) -> bool:
        """Whether a record is held, or could be read."""
        while not self.held:
            found = self.reader.back()
            if found is None:
                return False
            self.held = self._timed_back(found)
        return True

    def take(self, after: tuple[float, int] | None, limit: int) -> list[int]:
        """The places of what is held and comes after one of another source, the last line first.

        At least one record's, and no further one once there are `limit` lines.
        """
        places: list[int] = []
        while self.held and len(places) < limit:
            if after is not None and (self.held[-1][0], self.index) < after:
                break
            places += reversed(self.held.pop()[1])
        return places

    def _timed_back(self, found: list[PlacedRecord]) -> list[tuple[float, list[int]]]:
        """The records with times that never fall, whatever their clock did."""
        known = next((record.time for record in found if record.time is not None), None)
        last = known.timestamp() if known is not None else self._earliest
        if last == float("inf"):
            # Nothing tells the time of what was said last: it is of when it was written.
            last = self.series.parts[-1].modified if self.series.parts else 0.0
        timed: list[tuple[float, list[int]]] = []
        for places, time in found:
            last = max(last, time.timestamp()) if time is not None else last
            timed.append((min(last, self._earliest), places))
        if timed:
            self._latest = max(self._latest, timed[-1][0])
            self._earliest = timed[0][0]
        return timed

    def timed(self, found: list[PlacedRecord]) -> list[tuple[float, list[int]]]:
        """As `_timed_back`, of records that came after those known."""
        timed: list[tuple[float, list[int]]] = []
        for places, time in found:
            if time is not None:
                self._latest = max(self._latest, time.timestamp())
            elif not self._latest and self.series.parts:
                self._latest = self.series.parts[-1].modified
            timed.append((self._latest, places))
        return timed


def _kept(values: array, keep: list[bool]) -> array:  # type: ignore[type-arg]
    return array(values.typecode, (value for value, kept in zip(values, keep, strict=True) if kept))


def _find(places: array[int], sources: array[int], line: RawLine) -> int | None:
    at = -1
    while True:
        try:
            at = places.index(line.place, at + 1)
        except ValueError:
            return None
        if sources[at] == line.source:
            return at
