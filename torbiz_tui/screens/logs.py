"""Logs: a pane for every source, following."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import SystemCommand
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Input, Static

from torbiz_tui.logs.following import follow, tail_offset
from torbiz_tui.screens.base import ModeScreen
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.log_pane import LogPane

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.logs.sources import LogSource

_LOOK_FOR_FILES_S = 2.0


class LogsScreen(ModeScreen):
    """One pane per source; the chosen one is shown, all that were opened go on being read."""

    MODE = "logs"
    PURPOSE = (
        "Reads the log files as they grow. The view follows the end while you are at the end; "
        "scroll up and it stays where you are. Tokens are taken out, control characters are shown."
    )
    CSS_PATH = "logs.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [*keys.LOGS]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._sources: list[LogSource] = []
        self._chosen = 0
        self._panes: dict[str, LogPane] = {}
        self._visible = asyncio.Event()

    def compose_body(self) -> Iterator[Widget]:
        """Sources, the pane (mounted when first shown), the search, a line on where it stands."""
        yield Static(id="sources", markup=False)
        yield Input(
            placeholder="Search in this log; Enter goes to the match", id="query", compact=True
        )
        yield Static(id="status", markup=False)

    def on_mount(self) -> None:
        """Open the source that most probably is wanted."""
        self._sources = self.services.log_sources()
        if self.services.sharing.state.spec is None:
            names = [source.name for source in self._sources if source.exists]
            if names and self._sources[0].name not in names:
                self._chosen = [source.name for source in self._sources].index(names[0])
        self._keep_container_log()
        self.call_after_refresh(self._show_chosen)
        self.set_interval(_LOOK_FOR_FILES_S, self._look_for_files)

    @property
    def pane(self) -> LogPane | None:
        """The pane that is shown."""
        return self._panes.get(self._sources[self._chosen].name) if self._sources else None

    @property
    def source(self) -> LogSource | None:
        """The source that is shown."""
        return self._sources[self._chosen] if self._sources else None

    async def show_source(self, name: str) -> None:
        """Show the source of that name, if there is one."""
        names = [source.name for source in self._sources]
        if name in names:
            self._chosen = names.index(name)
            await self._show_chosen()

    async def _show_chosen(self) -> None:
        source = self.source
        if source is None:
            return
        if source.name not in self._panes:
            pane = LogPane(empty_text=f"Nothing logged yet. ({source.title})")
            self._panes[source.name] = pane
            await self.mount(pane, before="#query")
            self._follow(source, pane)
        for name, pane in self._panes.items():
            pane.display = name == source.name
        if not self.query_one("#query", Input).has_class("-shown"):
            self._panes[source.name].focus()
        self._show_sources()
        self._show_status()

    @work(group="follow", exit_on_error=False)
    async def _follow(self, source: LogSource, pane: LogPane) -> None:
        tail_lines = self.services.config.logs.tail_lines
        offset = await asyncio.to_thread(tail_offset, source.file, tail_lines)
        async for lines in follow(source.file, offset):
            # Nobody reads while the screen is hidden; the file keeps what comes meanwhile.
            await self._visible.wait()
            pane.write_lines(source.shown(lines))

    @work(group="container", exit_on_error=False)
    async def _keep_container_log(self) -> None:
        container_log = self.services.container_log()
        if container_log is not None:
            await container_log.keep()

    def on_screen_suspend(self, event: events.ScreenSuspend) -> None:
        """Hidden: stop reading."""
        del event
        self._visible.clear()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Shown: go on reading where it stopped."""
        del event
        self._visible.set()

    def _look_for_files(self) -> None:
        known = {source.name for source in self._sources}
        new = [source for source in self.services.log_sources() if source.name not in known]
        if new:
            self._sources += new
        self._show_sources()

    def _show_sources(self) -> None:
        parts: list[Content] = []
        for index, source in enumerate(self._sources):
            style = "bold reverse" if index == self._chosen else "" if source.exists else "dim"
            click = Style.from_meta({"@click": f"screen.choose({index})"})
            parts.append(Content(f" {source.name} ").stylize(style).stylize(click))
            parts.append(Content(" "))
        self.query_one("#sources", Static).update(Content.assemble(*parts))

    @on(LogPane.Changed)
    def _pane_changed(self, event: LogPane.Changed) -> None:
        if event.pane is self.pane:
            self._show_status()

    def _show_status(self) -> None:
        pane, source = self.pane, self.source
        if pane is None or source is None:
            return
        lines = f"{pane.line_count:,} lines" if pane.line_count != 1 else "1 line"
        parts: list[str | tuple[str, str]] = [(f"{source.file.name} · {lines}", "dim")]
        if pane.match_text:
            parts.append((f" · match {pane.match_text}", "bold"))
        if pane.following:
            parts.append((" · following", "dim"))
        elif pane.new_lines:
            word = "line" if pane.new_lines == 1 else "lines"
            parts.append(
                (f" · {pane.new_lines:,} new {word} below, G goes there", "bold $text-warning")
            )
        else:
            parts.append((" · not following, G goes to the end", "dim"))
        self.query_one("#status", Static).update(Content.assemble(*parts))

    async def action_choose(self, index: int) -> None:
        """Show the source with that place in the list."""
        self._chosen = index
        await self._show_chosen()

    async def action_source(self, direction: int) -> None:
        """Show the next or the previous source."""
        if self._sources:
            await self.action_choose((self._chosen + direction) % len(self._sources))

    def action_search(self) -> None:
        """Open the search field."""
        field = self.query_one("#query", Input)
        field.add_class("-shown")
        field.focus()

    def action_close_search(self) -> None:
        """Close the search and go back to the pane."""
        self.notice.close()
        field = self.query_one("#query", Input)
        field.remove_class("-shown")
        field.value = ""
        if self.pane is not None:
            self.pane.search("")
            self.pane.focus()

    def action_match(self, direction: int) -> None:
        """Go to another match, downwards or upwards."""
        if self.pane is not None:
            self.pane.find(direction)

    @on(Input.Submitted, "#query")
    def _search(self, event: Input.Submitted) -> None:
        if self.pane is None:
            return
        self.pane.search(event.value)
        self.pane.focus()

    def palette_commands(self) -> Iterable[SystemCommand]:
        """Search, wrap, and every source."""
        yield SystemCommand("Search in this log", "Mark a text and go to it", self.action_search)
        if self.pane is not None:
            yield SystemCommand(
                "Wrap long lines", "Break long lines, or not", self.pane.action_wrap
            )
            yield SystemCommand("Clear this view", "The file stays", self.pane.action_clear)
        for index, source in enumerate(self._sources):
            yield SystemCommand(
                f"Log: {source.name}", source.title, partial(self.action_choose, index)
            )
