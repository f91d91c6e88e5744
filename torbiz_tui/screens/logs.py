"""Logs: every word of every part, live, at any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import SystemCommand
from textual.containers import Container
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.moments import moment_of
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.watching import changes
from torbiz_tui.screens.base import ModeScreen
from torbiz_tui.screens.logs_slot import LogSlot
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.log_bars import LogBar, LogFilterBar, LogSearchBar, LogTimeBar
from torbiz_tui.widgets.log_pane import LogPane, Position

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.logs.sources import LogSource

_ALL = "all"


class LogsScreen(ModeScreen):
    """One pane or two on the logs that there are; hidden, nothing is read and nothing watched."""

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
        self._sources: list[LogSource] = []
        self._active = 0
        self._slots: list[LogSlot] = []
        self._shown = False
        self._before_search: Position | None = None
        self._filter_hidden = ""

    def compose_body(self) -> Iterator[Widget]:
        """Sources, the panes, and the fields that open below them."""
        yield Static(id="sources", markup=False)
        self._slots = [LogSlot()]
        with Container(id="slots"):
            yield from self._slots
        yield LogFilterBar()
        yield LogSearchBar()
        yield LogTimeBar()

    def on_mount(self) -> None:
        """Open the source that most probably is wanted."""
        self._sources = self.services.log_sources()
        wanted = self._sources[0]
        if self.services.sharing.state.spec is None and not wanted.exists:
            wanted = next((source for source in self._sources if source.exists), wanted)
        self._keep_container_log()
        self.call_after_refresh(self._show, [wanted])

    @property
    def slot(self) -> LogSlot:
        """The pane that keys act on, with what it reads."""
        return self._slots[self._active]

    @property
    def pane(self) -> LogPane | None:
        """The pane that keys act on."""
        return self.slot.pane if self._slots else None

    async def show_source(self, name: str) -> None:
        """Show the source of that name, if there is one."""
        chosen = [source for source in self._sources if source.name == name]
        if chosen:
            self._show(chosen)

    def _show(self, sources: Sequence[LogSource], *, everything: bool = False) -> None:
        self.slot.show(sources, everything=everything)
        if not any(bar.shown for bar in self.query(LogBar)):
            self.slot.pane.focus()
        self._show_sources()
        self._watch_again()

    # What goes on in the files

    @work(group="container", exit_on_error=False)
    async def _keep_container_log(self) -> None:
        container_log = self.services.container_log()
        if container_log is not None:
            await container_log.keep()

    def on_screen_suspend(self, event: events.ScreenSuspend) -> None:
        """Hidden: watch nothing."""
        del event
        self._shown = False
        self.workers.cancel_group(self, "watch")
        self.workers.cancel_group(self, "folder")

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Shown: take in what has come, and watch."""
        del event
        self._shown = True
        self._watch_again()

    def _watch_again(self) -> None:
        if self._shown and self.slot.reading is not None:
            self._watch()
            self._watch_folder()

    @work(group="watch", exclusive=True, exit_on_error=False)
    async def _watch(self) -> None:
        slots = [slot for slot in self._slots if slot.display]
        files = {source.file for slot in slots for source in slot.shown_sources}
        with changes(*files) as changed:
            while True:
                for slot in slots:
                    slot.look()
                await changed.wait()

    @work(group="folder", exclusive=True, exit_on_error=False)
    async def _watch_folder(self) -> None:
        with changes(self.services.paths.logs) as changed:
            while True:
                self._find_sources()
                await changed.wait()

    def _find_sources(self) -> None:
        """Files may have come or vanished; what is shown stays."""
        found = self.services.log_sources()
        names = {source.name for source in found}
        shown = {source for slot in self._slots for source in slot.shown_sources}
        kept = [one for one in self._sources if one in shown and one.name not in names]
        self._sources = found + kept
        for slot in self._slots:
            if slot.take_new(self._sources) and slot.display:
                self._watch()
        self._show_sources()

    # The sources

    def _show_sources(self) -> None:
        self.query_one("#sources", Static).update(self._sources_line())

    def _sources_line(self) -> Content:
        reading = self.slot.reading
        everything = self.slot.everything
        chosen = set() if reading is None or everything else set(reading.names)
        parts: list[Content] = []
        for index, source in enumerate(self._sources):
            style = "bold reverse" if source.name in chosen else "" if source.exists else "dim"
            parts.append(self._choice(source.name, style, index))
        if len(self._sources) > 1:
            style = "bold reverse" if everything else ""
            parts.append(self._choice(_ALL, style, len(self._sources)))
        at = next((i for i, part in enumerate(parts) if "reverse" in str(part.spans)), 0)
        width = max(10, self.size.width - 2)
        first = 0
        while first < at and sum(len(part) + 1 for part in parts[first : at + 1]) > width:
            first += 1
        return Content(" ").join(parts[first:])

    def _choice(self, name: str, style: str, index: int) -> Content:
        click = Style.from_meta({"@click": f"screen.choose({index})"})
        return Content(f" {name} ").stylize(style).stylize(click)

    def on_resize(self, event: events.Resize) -> None:
        """The chosen source stays in view."""
        del event
        self._show_sources()

    async def action_choose(self, index: int) -> None:
        """Show the source with that place in the list; after the last one all of them."""
        if index < len(self._sources):
            self._show([self._sources[index]])
        else:
            self._show(self._sources, everything=True)

    async def action_source(self, direction: int) -> None:
        """Show the next or the previous source."""
        reading, count = self.slot.reading, len(self._sources)
        if reading is None:
            return
        places = count + (count > 1)
        names = [source.name for source in self._sources]
        at = count if self.slot.everything else names.index(reading.names[0])
        await self.action_choose((at + direction) % places)

    def action_merge(self) -> None:
        """Choose logs to read as one."""
        from torbiz_tui.screens.logs_merge import MergeScreen

        reading = self.slot.reading
        chosen = reading.names if reading is not None and reading.merged else ()
        existing = [source.name for source in self._sources if source.exists]
        self.app.push_screen(MergeScreen(self._sources, chosen or existing), self._merge)

    def _merge(self, names: list[str] | None) -> None:
        if names:
            self._show([source for source in self._sources if source.name in names])

    # Two panes

    async def action_split(self) -> None:
        """Show two panes, or only the one that has the keys."""
        if self.has_class("-split"):
            self.remove_class("-split")
            for slot in self._slots:
                slot.display = slot is self.slot
        else:
            if len(self._slots) == 1:
                second = LogSlot()
                self._slots.append(second)
                await self.query_one("#slots").mount(second)
            self.add_class("-split")
            for slot in self._slots:
                slot.display = True
            self._slots[1].add_class("-second")
            other = self._slots[1 - self._active]
            if other.reading is None:
                other.show([self._other_source()])
        self._activate(self._active)
        self._watch_again()

    def _other_source(self) -> LogSource:
        """The next source with something in it that is not read yet."""
        reading = self.slot.reading
        names = reading.names if reading is not None else ()
        others = [one for one in self._sources if one.exists and one.name not in names]
        return (others or self._sources)[0]

    def action_other_pane(self) -> None:
        """Put the keys to the other pane."""
        if self.has_class("-split"):
            self._activate(1 - self._active)

    def _activate(self, index: int) -> None:
        self._active = index
        for slot in self._slots:
            slot.set_class(slot is self.slot, "-active")
        self.slot.pane.focus()
        self._show_sources()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The pane that was clicked has the keys now."""
        for index, slot in enumerate(self._slots):
            if event.widget is slot.pane and index != self._active:
                self._activate(index)

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
            bar.close()
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

    def _end_search(self) -> None:
        pane = self.slot.pane
        pane.search(None)
        if self._before_search is not None:
            pane.restore(self._before_search)
            self._before_search = None

    _asked: tuple[str, bool, LogSlot | None] = ("", False, None)

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
        from torbiz_tui.logs.filter_words import filter_from

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
        from torbiz_tui.screens.logs_explanation import ExplanationScreen
        from torbiz_tui.screens.remedies import can_do

        symptom = event.symptom
        offered = can_do(symptom.action, self.services)

        def answered(wanted: bool | None) -> None:
            if wanted:
                self._carry_out(event)

        self.app.push_screen(ExplanationScreen(symptom, event.line, can_do=offered), answered)

    @work(group="remedy", exclusive=True, exit_on_error=False)
    async def _carry_out(self, event: LogPane.Explain) -> None:
        from torbiz_tui.screens.remedies import carry_out

        await carry_out(self, self.services, event.symptom)

    def action_export(self) -> None:
        """Write what is shown to a file."""
        from torbiz_tui.logs.exporting import export_lines
        from torbiz_tui.screens.logs_export import LogExportScreen

        reading, view = self.slot.reading, self.slot.pane.view
        if reading is None or view is None:
            return
        names = reading.names if reading.merged else ()
        name = "-".join(reading.names) if len(reading.names) < 3 else _ALL
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        told = reading.told_filter()
        count = f"{view.count:,} lines" if view.count != 1 else "1 line"
        what = f"{count} of {reading.title}" + (f": {told}." if told else ".")
        self.app.push_screen(
            LogExportScreen(
                what,
                f"torbiz-{name}-{stamp}.log",
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

    def on_unmount(self) -> None:
        """Give back the files."""
        for slot in self._slots:
            slot.close()

    def palette_commands(self) -> Iterable[SystemCommand]:
        """Everything that can be done with the logs, and every source."""
        for title, text, command in (
            ("Search in this log", "Text or regular expression", self.action_search),
            ("Filter lines", "By level, source, time, text", self.action_filter),
            ("Go to a moment", "In this log", self.action_time),
            ("First or next error", "In what is shown", partial(self.action_error, 1)),
            ("Previous error", "In what is shown", partial(self.action_error, -1)),
            ("Merge logs", "Read several as one, by time", self.action_merge),
            ("Split", "Two panes, or one", self.action_split),
            ("Export what is shown", "To a file, without tokens", self.action_export),
        ):
            yield SystemCommand(title, text, command)
        pane = self.pane
        if pane is not None:
            yield SystemCommand("Wrap long lines", "Break long lines, or not", pane.action_wrap)
            yield SystemCommand("Clear this view", "The file stays", pane.action_clear)
            if pane.cleared:
                yield SystemCommand("Show what was cleared", "", pane.action_unclear)
        for index, source in enumerate(self._sources):
            yield SystemCommand(
                f"Log: {source.name}", source.title, partial(self.action_choose, index)
            )
        yield SystemCommand(
            "Log: all", "Merged by time", partial(self.action_choose, len(self._sources))
        )
