"""Finding a text in the lines that are shown, at any size."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.log_file import OFFSET_BITS, RawLine
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.pacing import Pace, Telling
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.scanning import matching_lines, matching_lines_back
from torbiz_tui.logs.views import LineView, WholeView

__all__ = ["Query", "Search"]

_BATCH = 200
_RANKED = 4_000_000


class Search:
    """The lines of a view that match a query.

    `find` blocks: call it in a thread. The count runs in a thread of its own; after `look` it goes
    on with what came. Views of all lines are searched by bytes, others line by line, and counted
    once they are complete.
    """

    def __init__(
        self, view: LineView, query: Query, on_change: Callable[[], None] | None = None
    ) -> None:
        """`on_change` is called in the counting thread, ten times a second at most."""
        self.view = view
        self.query = query
        self.problem: TorbizError | None = None
        """Why it was given up (code `slow_pattern`)."""
        self._telling = Telling(on_change)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._counting = False
        self._complete = False
        self._matches = 0
        # Where the matching lines are: places in a view of all lines, else indexes.
        self._found = array("Q")
        self._done = 0
        self._next = (0, 0)
        self._version = -1

    @property
    def matches(self) -> int:
        """How many matching lines were counted so far."""
        return self._matches

    @property
    def complete(self) -> bool:
        """Whether all lines were counted that were there."""
        return self._complete

    @property
    def progress(self) -> float:
        """How much was looked at, 0 to 1."""
        if self._complete:
            return 1.0
        view = self.view
        total = view.series.size if isinstance(view, WholeView) else view.count
        return min(1.0, self._done / total) if total else self.view.progress

    def start_count(self) -> None:
        """Count in the background."""
        if not self._counting:
            self._counting = True
            threading.Thread(target=self._count, name="count matches", daemon=True).start()

    def look(self) -> None:
        """Count what came."""
        self._wake.set()

    def rank(self, line: RawLine) -> int | None:
        """The how manieth match a line is, from 1; None as long as that is not counted."""
        if self._matches > len(self._found):
            return None
        key = line.place if isinstance(self.view, WholeView) else self.view.index_of(line)
        at = bisect_left(self._found, key)
        return at + 1 if at < len(self._found) and self._found[at] == key else None

    def close(self) -> None:
        """End what runs in the background, and what `find` does."""
        self._stop.set()
        self._wake.set()

    # One after the other

    def find(
        self, start: RawLine | None, direction: int, stop: threading.Event | None = None
    ) -> RawLine | None:
        """The next matching line below (1) or above (-1) `start`, not going around the ends.

        None as `start` is the beginning or the end. None is returned when there is none, when
        `stop` was set, or when it was given up (see `problem`).
        """
        stop = stop or self._stop
        if not self.query.text:
            return None
        if isinstance(self.view, WholeView):
            found = self._in_series(self.view.series, start, direction, stop)
        else:
            found = self._in_view(start, direction, stop)
        try:
            return next(found, None)
        except TorbizError as error:
            self.problem = error
            return None

    def _in_series(
        self, series: LogSeries, start: RawLine | None, direction: int, stop: threading.Event
    ) -> Iterator[RawLine]:
        parts = series.parts if direction > 0 else series.parts[::-1]
        for part in parts:
            if start is not None and (part.part - start.part) * direction < 0:
                continue
            here = start is not None and part.part == start.part
            offset = start.offset if start is not None and here else None
            if direction > 0:
                begin = 0 if offset is None or start is None else offset + start.length + 1
                found = matching_lines(part, self.query, begin, part.size, stop)
            else:
                end = part.size if offset is None else offset
                found = matching_lines_back(part, self.query, end, stop)
            for at in found:
                yield from part.lines_after(at, 1, number=part.number_at(at))

    def _in_view(
        self, start: RawLine | None, direction: int, stop: threading.Event
    ) -> Iterator[RawLine]:
        view, pace = self.view, Pace()
        if direction > 0:
            index = 0 if start is None else view.index_of(start)
            if start is not None and _same(view.lines(index, 1), start):
                index += 1
            while not stop.is_set() and (lines := view.lines(index, _BATCH)):
                for line in lines:
                    if self.query.matches(line.data):
                        yield line
                    pace.breathe()
                index += len(lines)
            return
        index = view.count if start is None else view.index_of(start)
        while not stop.is_set() and index > 0:
            first = max(0, index - _BATCH)
            for line in reversed(view.lines(first, index - first)):
                if self.query.matches(line.data):
                    yield line
                pace.breathe()
            index = first

    # All of them

    def _count(self) -> None:
        try:
            self._count_on()
        except TorbizError as error:
            self.problem = error
            self._telling.note()
            self._telling.tell(at_once=True)

    def _count_on(self) -> None:
        while not self._stop.is_set() and self.query.text:
            for found in self._new_matches():
                self._matches += 1
                if self._matches <= _RANKED:
                    self._found.append(found)
                self._telling.note()
                self._telling.tell()
                if self._stop.is_set():
                    return
            # What is written later is counted at the next look.
            complete = self.view.complete or isinstance(self.view, WholeView)
            if complete != self._complete:
                self._complete = complete
                self._telling.note()
            self._telling.tell(at_once=True)
            self._wake.wait()
            self._wake.clear()

    def _new_matches(self) -> Iterator[int]:
        view = self.view
        version = view.series.version if isinstance(view, WholeView) else view.version
        if version != self._version:
            self._version = version
            self._forget()
        if isinstance(view, WholeView):
            yield from self._new_in_series(view.series)
        elif view.complete:
            yield from self._new_in_view()

    def _forget(self) -> None:
        self._complete = False
        self._matches = self._done = 0
        self._found = array("Q")
        self._next = (0, 0)

    def _new_in_series(self, series: LogSeries) -> Iterator[int]:
        for part in series.parts:
            number, offset = self._next
            if part.part < number:
                continue
            start = offset if part.part == number else 0
            # An unfinished line counts when it is finished.
            last = part is series.parts[-1] and not part.last_bytes.endswith(b"\n")
            end = part.line_start(part.size) if last else part.size
            for at in matching_lines(part, self.query, start, end, self._stop):
                self._done += max(0, at - start)
                start = max(start, at)
                yield part.part << OFFSET_BITS | at
            self._done += max(0, end - start)
            self._next = (part.part, end)

    def _new_in_view(self) -> Iterator[int]:
        pace = Pace()
        while lines := self.view.lines(self._done, _BATCH):
            for line in lines:
                pace.breathe()
                index = self._done
                self._done += 1
                if self.query.matches(line.data):
                    yield index


def _same(lines: list[RawLine], line: RawLine) -> bool:
    return bool(lines) and lines[0][1:3] == line[1:3] and lines[0].part == line.part
