"""Logs: every word of every part, live, at any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.widget import Widget

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.filter_words import filter_from
from torbiz_tui.logs.moments import moment_of
from torbiz_tui.logs.query import Query
from torbiz_tui.screens.logs_reading import ALL, LogReadingScreen
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.log_bars import LogBar, LogFilterBar, LogSearchBar, LogTimeBar
from torbiz_tui.widgets.log_pane import LogPane, Position

if TYPE_CHECKING:
    from textual.app import SystemCommand

    from torbiz_tui.assembly import Services
    from torbiz_tui.screens.logs_slot import LogSlot

_NAMES_IN_FILE = 3


class LogsScreen(LogReadingScreen):
    """Searching, filtering and going about in the logs, and what is known of their lines."""

    MODE = "logs"
    PURPOSE = (
        "Reads the log files as they grow, at any size. The view follows the end while you are at "
        "the end; scroll up and it stays where you are. Tokens are taken out, control characters "
        "are shown. A line marked with ! has a known meaning: Enter tells it, and what to do."
    )
    CSS_PATH = "logs.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [*keys.LOGS]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._before_search: Position | None = None
        self._asked: tuple[str, bool, LogSlot | None] = ("", False, None)

    def compose_fields(self) -> Iterator[Widget]:
        """What opens below the panes."""
        yield LogFilterBar()
        yield LogSearchBar()
        yield LogTimeBar()

    @property
    def typing(self) -> bool:
        """Whether a field has the keys, which it keeps."""
        return any(bar.shown for bar in self.query(LogBar))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of the logs are letters: they count only where nothing is typed."""
        if action == "search":
            return not self.typing
        return super().check_action(action, parameters)

    # Search

    def action_search(self) -> None:
        """Open the search field."""
        bar = self.query_one(LogSearchBar)
        self._close_bars()
        self._before_search = self.slot.pane.position()
        bar.open(bar.text)

    @on(LogBar.Typed)
    def _typed(self, event: LogBar.Typed) -> None:
        bar = event.bar
        if isinstance(bar, LogSearchBar) and bar.shown:
            self._search(bar)
        elif isinstance(bar, LogFilterBar) and bar.shown:
            self._check(bar)

    @on(LogBar.Entered)
    def _entered(self, event: LogBar.Entered) -> None:
        bar = event.bar
        if isinstance(bar, LogSearchBar):
            done = self._search(bar)
        elif isinstance(bar, LogFilterBar):
            done = self._filter(bar)
        else:
            done = self._go_to_time(bar)
        if done:
            bar.remember()
            bar.close(later=isinstance(bar, LogSearchBar))
            self.slot.pane.focus()

    @on(LogBar.Left)
    def _left(self, event: LogBar.Left) -> None:
        self._close_bars()
        if isinstance(event.bar, LogSearchBar):
            self._end_search()
        self.slot.pane.focus()

    def _close_bars(self) -> None:
        for bar in self.query(LogBar):
            bar.close()

    def _search(self, bar: LogSearchBar) -> bool:
        try:
            query = Query(bar.text, regex=bar.regex) if bar.text else None
        except TorbizError as error:
            bar.tell(error)
            return False
        bar.tell(None)
        asked = (bar.text, bar.regex, self.slot)
        if asked != self._asked or not self.slot.pane.match_text:
            self._asked = asked
            self.slot.pane.search(query)
        return True

    @on(LogPane.GivenUp)
    def _given_up(self, event: LogPane.GivenUp) -> None:
        bar = self.query_one(LogSearchBar)
        if bar.shown:
            bar.tell(event.error)
        else:
            self.notice.show_error(event.error)

    def _end_search(self) -> None:
        pane = self.slot.pane
        pane.search(None)
        if self._before_search is not None:
            pane.restore(self._before_search)
            self._before_search = None

    def action_match(self, direction: int) -> None:
        """Go to another match, downwards or upwards."""
        self.slot.pane.find(direction)

    def action_close_search(self) -> None:
        """Close the message, stop looking, or end the search: one after the other."""
        pane = self.slot.pane
        if self.notice.shown:
            self.notice.close()
        elif self.slot.stop_seeking():
            return
        elif pane.search_running:
            pane.cancel_search()
        else:
            pane.search(None)

    # Filter, time, errors

    def action_filter(self) -> None:
        """Open the field for the filter."""
        self._close_bars()
        reading = self.slot.reading
        self.query_one(LogFilterBar).open(reading.filter_text if reading is not None else "")

    def _check(self, bar: LogFilterBar) -> bool:
        try:
            filter_from(bar.text)
        except TorbizError as error:
            bar.tell(error)
            return False
        bar.tell(None)
        return True

    def _filter(self, bar: LogFilterBar) -> bool:
        if not self._check(bar):
            return False
        self.slot.use_filter(bar.text)
        return True

    def action_toggle_filter(self) -> None:
        """Show all lines, or filter again."""
        self.slot.toggle_filter()

    def action_time(self) -> None:
        """Open the field for a moment."""
        self._close_bars()
        bar = self.query_one(LogTimeBar)
        bar.open(bar.text)

    def _go_to_time(self, bar: LogBar) -> bool:
        if not bar.text.strip():
            return True
        try:
            moment = moment_of(bar.text)
        except ValueError as error:
            bar.tell(TorbizError(str(error)))
            return False
        self.slot.go_to_moment(moment)
        return True

    def action_error(self, direction: int) -> None:
        """Go to the next or the previous error."""
        self.slot.go_to_error(direction)

    # What is known of a line, and taking lines along

    @on(LogPane.Explain)
    def _explain(self, event: LogPane.Explain) -> None:
        from torbiz_tui.screens.remedies import explain
        from torbiz_tui.troubleshooting.machine import this_machine
        from torbiz_tui.troubleshooting.matching import explanation

        explain(self, self.services, explanation(event.symptom, event.line, this_machine()))

    def action_export(self) -> None:
        """Write what is shown to a file."""
        from torbiz_tui.logs.exporting import export_lines
        from torbiz_tui.screens.logs_export import LogExportScreen

        reading, view = self.slot.reading, self.slot.shown_view
        if reading is None or view is None:
            return
        names = reading.names if reading.merged else ()
        name = "-".join(reading.names) if len(reading.names) < _NAMES_IN_FILE else ALL
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        told = reading.told_filter()
        count = f"{view.count:,} lines" if view.count != 1 else "1 line"
        if not view.complete:
            count = "All lines"
        what = f"{count} of {reading.title}" + (f": {told}." if told else ".")
        self.app.push_screen(
            LogExportScreen(
                what,
                f"torbiz-{name}-{stamp}.log",
                view,
                lambda path, stop, tell: export_lines(
                    view, path, names=names, whole=view.whole, stop=stop, on_progress=tell
                ),
            ),
            self._exported,
        )

    def _exported(self, written: tuple[Path, int] | None) -> None:
        if written is not None:
            path, count = written
            title = f"{count:,} lines written" if count != 1 else "1 line written"
            self.notify(str(path), title=title, markup=False)

    def palette_commands(self) -> Iterable[SystemCommand]:
        """Everything that can be done with the logs, and every source."""
        from torbiz_tui.screens.logs_commands import logs_commands

        return logs_commands(self)
