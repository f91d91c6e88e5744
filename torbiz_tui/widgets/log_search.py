"""A search in a pane: one match after the other, and how many there are, without waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.searching import Search
from torbiz_tui.logs.views import LineView
from torbiz_tui.threads import outcome_of


class PaneSearch:
    """What is looked for in a view; `on_change` is called as if by who made it."""

    def __init__(self, view: LineView, query: Query, on_change: Callable[[], None]) -> None:
        self.query = query
        self._loop = asyncio.get_running_loop()
        # Timers that are started then have to know their app.
        self._context = copy_context()
        self._on_change = on_change
        self._search = Search(view, query, self._tell)
        self._stop: threading.Event | None = None
        self._missing = False
        self._stopped = False
        self._counting = False

    def _tell(self) -> None:
        # The loop is closed when nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_change, context=self._context)

    @property
    def running(self) -> bool:
        """Whether it looks for a match, or counts them."""
        over = self._stopped or self._search.complete or self.problem is not None
        return self._stop is not None or not over

    @property
    def problem(self) -> TorbizError | None:
        """Why it was given up."""
        return self._search.problem

    def find(self, start: RawLine | None, direction: int) -> asyncio.Future[RawLine | None]:
        """The next matching line from there, around the ends; the one before is given up.

        It is looked for at once, not only when it is awaited.
        """
        self._give_up()
        stop = self._stop = threading.Event()
        run, outcome = outcome_of(partial(self._around, start, direction, stop))
        outcome.add_done_callback(partial(self._found, stop))
        threading.Thread(target=run, name="find in a log", daemon=True).start()
        return outcome

    def _found(self, stop: threading.Event, outcome: asyncio.Future[RawLine | None]) -> None:
        stop.set()
        if self._stop is stop:
            self._stop = None
        if outcome.cancelled() or outcome.exception() is not None:
            return
        self._missing = outcome.result() is None
        # Counting at the same time would only make the first match late.
        self.count()

    def count(self) -> None:
        """Count all that match."""
        if not self._stopped and not self._counting and self.problem is None:
            self._counting = True
            self._search.start_count()

    def _around(
        self, start: RawLine | None, direction: int, stop: threading.Event
    ) -> RawLine | None:
        found = self._search.find(start, direction, stop)
        if found is None and start is not None and not stop.is_set() and self.problem is None:
            found = self._search.find(None, direction, stop)
        return found

    def text(self, match: RawLine | None) -> str:
        """`3 of 1,204 lines`: which match that is, or how far the search is."""
        search = self._search
        found = f"{search.matches:,}"
        if search.problem is not None:
            return "stopped, the expression takes too long"
        if not search.complete and self._stopped:
            return f"stopped, {found} so far"
        if not search.complete and (search.matches or not self._missing):
            return f"searching {search.progress:.0%}… {found} so far"
        if not search.matches:
            # A last line that goes on is not counted yet.
            return "not found" if match is None else "in the last line"
        rank = None if match is None else search.rank(match)
        return f"{rank:,} of {found} lines" if rank is not None else f"{found} lines"

    def look(self) -> None:
        """Count what came."""
        if self._counting and not self._stopped:
            self._search.look()

    def cancel(self) -> None:
        """End what runs; what was found stays marked."""
        self._stopped = self._stopped or self.running
        self.close()

    def close(self) -> None:
        """End what runs."""
        self._give_up()
        self._search.close()

    def _give_up(self) -> None:
        if self._stop is not None:
            self._stop.set()
            self._stop = None
