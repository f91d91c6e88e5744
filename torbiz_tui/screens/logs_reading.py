"""The logs that there are, in one pane or two; watched only while somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import events, work
from textual.containers import Container
from textual.content import Content
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from torbiz_tui.logs.watching import changes
from torbiz_tui.screens.base import ModeScreen
from torbiz_tui.screens.logs_slot import LogSlot

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.logs.sources import LogSource
    from torbiz_tui.widgets.log_pane import LogPane

ALL = "all"
"""The name of all logs, merged."""


class LogReadingScreen(ModeScreen):
    """Which logs are shown where; hidden, nothing is read and nothing watched."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.sources: list[LogSource] = []
        self._active = 0
        self._slots: list[LogSlot] = []
        self._shown = False

    def compose_body(self) -> Iterator[Widget]:
        """Sources, the panes, and the fields that open below them."""
        yield Static(id="sources", markup=False)
        self._slots = [LogSlot()]
        with Container(id="slots"):
            yield from self._slots
        yield from self.compose_fields()

    def compose_fields(self) -> Iterator[Widget]:
        """What opens below the panes."""
        raise NotImplementedError

    @property
    def typing(self) -> bool:
        """Whether a field has the keys, which it keeps."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Open the source that most probably is wanted."""
        self.sources = self.services.log_sources()
        wanted = self.sources[0]
        if self.services.sharing.state.spec is None and not wanted.exists:
            wanted = next((source for source in self.sources if source.exists), wanted)
        self._keep_container_log()
        self.call_after_refresh(self.show_logs, [wanted])

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
        chosen = [source for source in self.sources if source.name == name]
        if chosen:
            self.show_logs(chosen)

    def show_logs(self, sources: Sequence[LogSource], *, everything: bool = False) -> None:
        """Show other logs in the pane that has the keys."""
        self.slot.show(sources, everything=everything)
        if not self.typing:
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
        if self not in self.app.screen_stack:
            # It is not just behind a question.
            for slot in self._slots:
                slot.rest()

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
        kept = [one for one in self.sources if one in shown and one.name not in names]
        self.sources = found + kept
        for slot in self._slots:
            if slot.take_new(self.sources) and slot.display:
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
        for index, source in enumerate(self.sources):
            style = "bold reverse" if source.name in chosen else "" if source.exists else "dim"
            parts.append(self._choice(source.name, style, index))
        if len(self.sources) > 1:
            style = "bold reverse" if everything else ""
            parts.append(self._choice(ALL, style, len(self.sources)))
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
        if index < len(self.sources):
            self.show_logs([self.sources[index]])
        else:
            self.show_logs(self.sources, everything=True)

    async def action_source(self, direction: int) -> None:
        """Show the next or the previous source."""
        reading, count = self.slot.reading, len(self.sources)
        if reading is None:
            return
        places = count + (count > 1)
        names = [source.name for source in self.sources]
        at = count if self.slot.everything else names.index(reading.names[0])
        await self.action_choose((at + direction) % places)

    def action_merge(self) -> None:
        """Choose logs to read as one."""
        from torbiz_tui.screens.logs_merge import MergeScreen

        reading = self.slot.reading
        chosen = reading.names if reading is not None and reading.merged else ()
        existing = [source.name for source in self.sources if source.exists]
        self.app.push_screen(MergeScreen(self.sources, chosen or existing), self._merge)

    def _merge(self, names: list[str] | None) -> None:
        if names:
            self.show_logs([source for source in self.sources if source.name in names])

    # Two panes

    async def action_split(self) -> None:
        """Show two panes, or only the one that has the keys."""
        if self.has_class("-split"):
            self.remove_class("-split")
            for slot in self._slots:
                slot.display = slot is self.slot
                if not slot.display:
                    slot.rest()
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
        others = [one for one in self.sources if one.exists and one.name not in names]
        return (others or self.sources)[0]

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

    def on_unmount(self) -> None:
        """Give back the files."""
        for slot in self._slots:
            slot.close()
