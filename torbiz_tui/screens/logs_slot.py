"""One of the panes of Logs: what it reads, where it stood in it, and the line that says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import datetime
from functools import partial

from textual import events, work
from textual.containers import Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from torbiz_tui.logs.cleared_view import ClearedView
from torbiz_tui.logs.finding import next_error
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.moments import shown_moment
from torbiz_tui.logs.reading import Reading
from torbiz_tui.logs.sources import LogSource
from torbiz_tui.logs.views import LineView
from torbiz_tui.screens.logs_status import status_line, status_parts
from torbiz_tui.threads import call_abandonable
from torbiz_tui.troubleshooting.matching import match, place_of
from torbiz_tui.widgets.log_pane import LogPane, Position

_LOOK_AGAIN_S = 0.1
_SAID_S = 6.0


class LogSlot(Vertical):
    """Reads one log or several; what was read before is kept as it was left."""

    DEFAULT_CSS = """
    LogSlot { height: 1fr; width: 1fr; }
    LogSlot LogPane { height: 1fr; }
    LogSlot .status { height: 1; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._readings: dict[tuple[str, ...], Reading] = {}
        self._positions: dict[tuple[str, ...], Position] = {}
        self._key: tuple[str, ...] = ()
        self.everything = False
        """Whether all logs are merged, also those that come."""
        self.reading: Reading | None = None
        self._loop = asyncio.get_running_loop()
        # Timers that are started for what a thread tells have to know their app.
        self._told_in = copy_context()
        self._told = threading.Event()
        self._seeking = ""
        self._stop = threading.Event()
        self._last_error: RawLine | None = None
        self._said = ""
        self._saying: Timer | None = None

    def on_mount(self) -> None:
        """Take what threads tell as if it came from here."""
        self._told_in = copy_context()
        self.pane.told = self.show_status

    def compose(self) -> Iterator[Widget]:
        """The pane, and below it what it says of itself."""
        yield LogPane()
        yield Static(classes="status", markup=False)

    @property
    def pane(self) -> LogPane:
        """The pane."""
        return self.query_one(LogPane)

    @property
    def shown_sources(self) -> tuple[LogSource, ...]:
        """The logs that are read now."""
        return self.reading.sources if self.reading is not None else ()

    @property
    def title_shown(self) -> str:
        """What is read, in a few words."""
        if self.everything:
            return "all logs"
        return self.reading.title if self.reading is not None else ""

    # What is read

    def show(self, sources: Sequence[LogSource], *, everything: bool = False) -> None:
        """Read other logs, from where they were left."""
        key = ("",) if everything else tuple(source.name for source in sources)
        if self.reading is not None:
            if key == self._key:
                return
            self._positions[self._key] = self.pane.position()
            self.reading.rest()
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = Reading(sources, self._changed_in_thread)
        reading.resume()
        self._key, self.reading, self.everything = key, reading, everything
        self._show_view(self._positions.get(key))

    def take_new(self, sources: Sequence[LogSource]) -> bool:
        """Where all logs are merged: merge those, too, that have come; whether there were any."""
        reading = self.reading
        if not self.everything or reading is None:
            return False
        new = [source for source in sources if source.name not in reading.names]
        if new:
            position = self.pane.position()
            reading.extend(new)
            self._show_view(position)
        return bool(new)

    def _show_view(self, position: Position | None) -> None:
        reading, pane = self.reading, self.pane
        if reading is None:
            return
        self.stop_seeking()
        place = None if reading.merged else place_of(reading.names[0])
        pane.labels = reading.label if reading.merged else None
        pane.explain = partial(match, place=place)
        pane.show(reading.view)
        if position is not None:
            pane.restore(position)
        self.look()

    def _changed_in_thread(self) -> None:
        if not self._told.is_set():
            self._told.set()
            # The loop is closed when nobody waits any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._changed, context=self._told_in)

    def _changed(self) -> None:
        self._told.clear()
        if self.is_attached and self.display and self.screen.is_active:
            self.look()

    def rest(self) -> None:
        """Nobody sees it: nothing goes on."""
        self.stop_seeking()
        if self.reading is not None:
            self.reading.rest()

    def look(self) -> None:
        """Take in what has come."""
        if self.reading is not None:
            self.reading.resume()
        self.pane.look()
        self.show_status()

    # The filter

    def use_filter(self, text: str) -> None:
        """Show what fits a filter. Raises TorbizError when the text says none."""
        if self.reading is not None:
            position = self.pane.position()
            self.reading.use_filter(text)
            self._show_view(position)

    def toggle_filter(self) -> None:
        """Show all lines around, or again what fits the filter."""
        if self.reading is not None and self.reading.filter_text:
            position = self.pane.position()
            self.reading.toggle_filter()
            self._show_view(position)

    @property
    def shown_view(self) -> LineView | None:
        """What is shown: of a cleared pane only what came."""
        view, after = self.pane.view, self.pane.position().cleared_after
        return view if view is None or after is None else ClearedView(view, after)

    # Going somewhere

    def go_to_moment(self, moment: datetime) -> None:
        """Go to the first line of a moment or later."""
        self.stop_seeking()
        self._go_to_moment(moment, self._stop)

    @work(group="seek", exclusive=True, exit_on_error=False)
    async def _go_to_moment(self, moment: datetime, stop: threading.Event) -> None:
        reading = self.reading
        if reading is None:
            return
        with self._seeking_is(f"looking for {shown_moment(moment)}"):
            while not stop.is_set():
                look = partial(reading.line_since, moment)
                line = await call_abandonable(look, "find a moment")
                view = reading.view
                if view.complete or line is None or view.index_of(line) > 0:
                    break
                # It may be among those that were not gone through yet.
                await asyncio.sleep(_LOOK_AGAIN_S)
        if stop.is_set():
            return
        if line is not None:
            self.pane.go_to(line)
        else:
            self.pane.action_end()
            self._say(f"all lines are from before {shown_moment(moment)}")

    def go_to_error(self, direction: int) -> None:
        """Go to the next error, down or up, around the ends."""
        self.stop_seeking()
        self._go_to_error(direction, self._stop)

    @work(group="seek", exclusive=True, exit_on_error=False)
    async def _go_to_error(self, direction: int, stop: threading.Event) -> None:
        reading, start = self.reading, self.pane.cursor_line
        if reading is None or start is None:
            return
        view, last = reading.view, self._last_error
        been_there = last is not None and last[1:3] == start[1:3]

        def look() -> tuple[RawLine | None, bool]:
            found = next_error(view, start, direction, stop, itself=not been_there)
            if found is not None or stop.is_set():
                return found, False
            return next_error(view, None, direction, stop), True

        with self._seeking_is("looking for errors"):
            line, around = await call_abandonable(look, "find an error")
        if stop.is_set():
            return
        self._last_error = line
        if line is None:
            self._say("there is no error in what is shown")
            return
        self.pane.go_to(line)
        if around:
            which = "first" if direction > 0 else "last"
            self._say(f"around the end: the {which} error")

    def stop_seeking(self) -> bool:
        """End the looking for a line; whether somebody did."""
        self._stop.set()
        self._stop = threading.Event()
        return bool(self._seeking)

    @contextmanager
    def _seeking_is(self, text: str) -> Iterator[None]:
        """Say what is looked for as long as that lasts."""
        self._seeking = text
        self.show_status()
        try:
            yield
        finally:
            self._seeking = ""
            if self.is_attached:
                self.show_status()

    def _say(self, text: str) -> None:
        """Say what came of something, for a moment."""
        self._said = text
        if self._saying is not None:
            self._saying.stop()
        self._saying = self.set_timer(_SAID_S, self._forget_said)
        self.show_status()

    def _forget_said(self) -> None:
        self._said, self._saying = "", None
        self.show_status()

    # The line below

    def on_resize(self, event: events.Resize) -> None:
        """Another width has room for more or less."""
        del event
        self.show_status()

    def show_status(self) -> None:
        """Say what is shown, and what goes on."""
        reading, pane = self.reading, self.pane
        if reading is None:
            return
        pane.set_empty_text(self._empty_text(reading))
        doing = f"{self._seeking}… Esc stops" if self._seeking else self._said
        parts = status_parts(reading, pane, self.title_shown, doing)
        line = status_line(parts, max(10, self.size.width - 2))
        # It keeps its size: the whole screen need not be laid out again.
        # On the way out it may be gone before the pane is.
        for status in self.query(".status").results(Static):
            status.update(line, layout=False)

    def _empty_text(self, reading: Reading) -> str:
        if reading.problem:
            return f"It cannot be read. ({reading.problem})"
        if reading.given_up is not None:
            return str(reading.given_up)
        if self.pane.cleared:
            return "Nothing has come since it was cleared. C shows all."
        if not reading.wanted.empty:
            if reading.view.complete:
                return f"No line is {reading.told_filter()}. F shows all lines."
            return "Nothing has been found yet."
        if not reading.view.complete:
            return "Reading…"
        if reading.merged:
            return "Nothing logged yet in any of these."
        return f"Nothing logged yet. ({reading.sources[0].title})"

    def close(self) -> None:
        """Give back all files."""
        self.stop_seeking()
        for reading in self._readings.values():
            reading.close()
