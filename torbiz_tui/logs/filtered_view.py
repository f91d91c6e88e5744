"""The lines of a log that fit a filter, found in the background."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable

from torbiz_tui.logs.background_view import BackgroundView
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_file import OFFSET_BITS, RawLine
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.record_reader import RecordReader


class FilteredView(BackgroundView):
    """The fitting lines of a log (a `LineView`), found by a thread from the end backwards.

    What is written meanwhile is added at the end, line by line as they are finished. A hit takes
    8 bytes. The lines come without numbers: the part they are from tells them.
    """

    def __init__(
        self,
        series: LogSeries,
        wanted: Filter,
        *,
        source: str = "",
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Begin to look; `on_change` is called in the thread, ten times a second at most."""
        super().__init__((series,), on_change)
        self.series = series
        self.wanted = wanted
        self._reader = RecordReader(series, wanted, source)
        # Places, from the first look downwards and from there upwards.
        self._older = array("Q")
        self._newer = array("Q")
        self._start("filter a log")

    @property
    def count(self) -> int:
        """How many lines were found so far."""
        return len(self._older) + len(self._newer)

    @property
    def progress(self) -> float:
        """How much of it was looked at, 0 to 1."""
        return 1.0 if self._complete else self._reader.progress

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        found: list[RawLine] = []
        older, newer = self._older, self._newer
        middle = len(older)
        for index in range(max(0, first), min(first + count, middle + len(newer))):
            place = older[middle - 1 - index] if index < middle else newer[index - middle]
            part = self.series.part(place >> OFFSET_BITS)
            if part is not None:
                found += part.lines_after(place & (1 << OFFSET_BITS) - 1, 1)
        return found

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""
        older, newer = self._older, self._newer
        middle = len(older)
        if not middle or (newer and line.place >= newer[0]) or line.place > older[0]:
            return middle + bisect_left(newer, line.place)
        # These are in falling order.
        at = bisect_left(older, -line.place, hi=middle, key=lambda place: -place)
        return middle - at - (at < middle and older[at] == line.place)

    def whole(self, line: RawLine, limit: int = 2**20) -> bytes:
        """All bytes of a line that was cut, `limit` at most."""
        return self.series.whole(line, limit)

    def _go_back(self) -> bool:
        if self._complete:
            return False
        found = self._reader.back()
        if found is None:
            self._complete = True
            self._telling.note()
            return False
        places = [place for record in found for place in record.places]
        if places:
            self._older.extend(reversed(places))
            self._version += 1
        self._telling.note()
        self._telling.tell()
        return True

    def _go_forward(self) -> bool:
        found = self._reader.forward()
        if found:
            self._newer.extend([place for record in found for place in record.places])
            self._telling.note()
            self._telling.tell()
        return found is not None

    def _forget_gone(self) -> None:
        there = {part.part for part in self.series.parts}
        if all(part.part in there for part in self._reader.parts):
            return
        self._reader.parts = self.series.parts
        older = array("Q", (one for one in self._older if one >> OFFSET_BITS in there))
        newer = array("Q", (one for one in self._newer if one >> OFFSET_BITS in there))
        if len(older) + len(newer) != self.count:
            self._older, self._newer = older, newer
            self._version += 1
            self._telling.note()
