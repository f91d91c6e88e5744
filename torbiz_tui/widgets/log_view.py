"""A log on the screen: where it stands, what stays in place, and its rows."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from time import monotonic

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scrollbar import ScrollBar, ScrollDown, ScrollUp
from textual.selection import Selection
from textual.timer import Timer

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.views import LineView
from torbiz_tui.widgets.log_drawing import LogDrawing
from torbiz_tui.widgets.log_text import key_of

_FRAME_S = 0.05
# Below somebody who reads only numbers change.
_NUMBERS_S = 0.2
_EIGHTHS = 8


class LogView(LogDrawing, inherit_bindings=False):
    """Shows a page of a `LineView`; follows the end only for who is there."""

    class Changed(Message):
        """What the pane would say of itself has changed."""

        def __init__(self, pane: LogView) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> LogView:
            """The pane."""
            return self.pane

        def can_replace(self, message: Message) -> bool:
            """Only the newest counts."""
            return isinstance(message, LogView.Changed) and message.pane is self.pane

    told: Callable[[], None] | None = None
    """Called instead of `Changed` being posted: what is said changes in the same picture then."""

    def __init__(
        self,
        *,
        empty_text: str = "Nothing logged yet.",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(empty_text=empty_text, id=id)
        # The last line when the end was left: what comes after it is new.
        self._seen: RawLine | None = None
        self._new_lines = 0
        # Where to go as soon as it is known; the row to begin with, None for the middle.
        self._goal: tuple[RawLine, int | None] | None = None
        self._to_first = False
        # Whether somebody went to the first line, which may be in view together with the last.
        self._from_first = False
        self._widest = 0
        self._frame: Timer | None = None
        self._framed_at = 0.0
        self._told: tuple[tuple[object, ...], tuple[object, ...]] = ((), ())
        self._told_at = 0.0
        self._telling: Timer | None = None
        self._placing = False
        self._thumb_shown: tuple[object, ...] | None = None

    # What it holds

    @property
    def line_count(self) -> int:
        """How many lines there are, as far as is known."""
        return self._layout_of.count

    @property
    def new_lines(self) -> int:
        """How many lines came since the end was left."""
        return self._new_lines

    @property
    def following(self) -> bool:
        """Whether the end is shown and stays in view."""
        return self._layout_of.following

    @property
    def first_line(self) -> RawLine | None:
        """The line at the top."""
        return self._layout_of.top

    def show_view(self, view: LineView | None) -> None:
        """Begin with another view, at its end."""
        self._goal, self._to_first, self._seen = None, False, None
        self._label_cells = self._widest = 0
        self._strips.clear()
        self._layout_of.show(view)
        self._fit()
        self._settle()

    # Taking in what came

    def look(self) -> None:
        """The view may have changed: show it, 20 times a second at most, five above its end."""
        if self._frame is not None or self._layout_of.view is None:
            return
        at_once = self.following or self._goal is not None or self._to_first
        frame_s = _FRAME_S if at_once else _NUMBERS_S
        wait = self._framed_at + frame_s - monotonic()
        if wait <= 0 or not self.is_running:
            self._take_in()
        else:
            self._frame = self.set_timer(wait, self._take_in)

    def _take_in(self) -> None:
        self._stop_waiting()
        self._framed_at = monotonic()
        layout = self._layout_of
        if layout.view is None:
            return
        before = list(layout.page())
        layout.view.look()
        layout.look()
        if self._goal is not None:
            self._go(*self._goal)
        elif self._to_first:
            layout.to(0)
            self._to_first = not layout.view.complete
        after = layout.page()
        moved = bool(before and after) and before[0].at != after[0].at
        if moved and key_of(before[0].line) == key_of(after[0].line):
            # Others were found before it: what the mouse has chosen has other numbers now.
            self._forget_selection()
        self._settle(changed=before != after)

    def _stop_waiting(self) -> None:
        if self._frame is not None:
            self._frame.stop()
            self._frame = None

    def _settle(self, *, changed: bool = True) -> None:
        """Show where the page stands."""
        layout = self._layout_of
        self._new_lines = 0 if layout.following else self._count_new()
        self._fit_width()
        self._place_scrollbars()
        if changed:
            self.refresh()
        self._tell()

    def _tell(self) -> None:
        """Say that something has changed, if it has; mere numbers five times a second at most."""
        told = (self._state(), self._numbers())
        if told == self._told:
            return
        wait = self._told_at + _NUMBERS_S - monotonic()
        if told[0] == self._told[0] and wait > 0 and self.is_running:
            if self._telling is None:
                self._telling = self.set_timer(wait, self._tell_numbers)
            return
        self._told, self._told_at = told, monotonic()
        if not self.is_running:
            return
        if self.told is not None:
            self.told()
        else:
            self.post_message(self.Changed(self))

    def _tell_numbers(self) -> None:
        self._telling = None
        self._tell()

    def _state(self) -> tuple[object, ...]:
        """What is told at once when it changes."""
        return (self.following, self.wrapped, bool(self.new_lines), self.line_count > 0)

    def _numbers(self) -> tuple[object, ...]:
        """What changes all the time while a log grows."""
        view = self._layout_of.view
        progress = None if view is None else (view.complete, round(view.progress, 2))
        return (self.line_count, self._new_lines, progress)

    def _count_new(self) -> int:
        view, seen = self._layout_of.view, self._seen
        if view is None or seen is None:
            return 0
        index = view.index_of(seen)
        here = view.lines(index, 1)
        same = bool(here) and key_of(here[0]) == key_of(seen)
        return max(0, view.count - index - same)

    # Where it stands

    def _fit_width(self) -> None:
        layout = self._layout_of
        if self.labels is not None:
            cells = max((len(self._label(row.line)) for row in layout.page()), default=0)
            if cells > self._label_cells:
                self._label_cells = cells
                self._fit()
        if not layout.wrapped:
            widest = max((row.shown.cells for row in layout.page()), default=0)
            self._widest = max(self._widest, widest)

    def _place_scrollbars(self) -> None:
        layout = self._layout_of
        steps = layout.steps
        width = 0 if layout.wrapped else self._lead + self._widest
        size = Size(width, steps + layout.height if steps else min(layout.count, layout.height))
        row = steps if layout.at_end else min(layout.index, max(0, steps - 1))
        thumb = self._thumb(size, row)
        if thumb == self._thumb_shown:
            # It looks the same, and drawing it again would take half as long as the log.
            self.set_reactive(LogView.virtual_size, size)
            self.set_reactive(LogView.scroll_y, row)
            self.scroll_target_y = row
            if self.show_vertical_scrollbar:
                bar = self.vertical_scrollbar
                bar.set_reactive(ScrollBar.window_virtual_size, size.height)
                bar.set_reactive(ScrollBar.position, row)
            return
        self._thumb_shown = thumb
        self._placing = True
        try:
            if size != self.virtual_size:
                # Its watcher would lay out the whole screen, and no size but this one has changed.
                self.set_reactive(LogView.virtual_size, size)
                self._scroll_update(size)
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        finally:
            self._placing = False
        if self.show_vertical_scrollbar:
            # One that appears only now has missed where the view stands.
            self.vertical_scrollbar.position = self.scroll_y

    def _thumb(self, virtual: Size, row: int) -> tuple[object, ...]:
        """What the scrollbars look like: the thumb of the vertical one in eighths of a cell."""
        cells, window = self.scrollable_content_region.height, self._layout_of.height
        start = end = 0
        if window and virtual.height > window:
            thumb = max(1.0, window * cells / virtual.height)
            start = int((cells - thumb) * row / (virtual.height - window) * _EIGHTHS)
            end = start + ceil(thumb * _EIGHTHS)
        return (start, end, virtual.width, self.size, self.container_size)

    def on_resize(self, event: events.Resize) -> None:
        """Break the lines at the new width; the first line shown stays the first."""
        del event
        self._fit()
        self._settle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Go where the scrollbar is dragged to."""
        super().watch_scroll_y(old_value, new_value)
        if self._placing or self.size.height == 0 or round(old_value) == round(new_value):
            return
        if new_value >= self.max_scroll_y:
            self._layout_of.to_end()
        else:
            self._layout_of.to(round(new_value))
        self._moved()

    # Moving

    def _hold(self) -> None:
        """Stay here, also at the end."""
        layout = self._layout_of
        if layout.following:
            layout.following = False
            last = [] if layout.view is None else layout.view.lines(layout.count - 1, 1)
            self._seen = last[0] if last else None

    def _follow(self) -> None:
        self._layout_of.following, self._seen = True, None

    def _moved(self) -> None:
        """Somebody has scrolled: follow if that was to the end."""
        self._goal, self._to_first, self._from_first = None, False, False
        if self._layout_of.at_end:
            self._follow()
            # Not at the pace of who reads above.
            self._take_in()
            self.refresh()
            return
        self._hold()
        self._settle()

    def scroll_rows(self, rows: int) -> None:
        """Scroll down, or up, by rows."""
        self._layout_of.move(rows)
        self._moved()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll by rows, whatever the scrollbar counts."""
        self._scroll_by_wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll by rows, whatever the scrollbar counts."""
        self._scroll_by_wheel(event, -1)

    def _scroll_by_wheel(self, event: events.MouseEvent, direction: int) -> None:
        if not event.ctrl and not event.shift:
            event.stop()
            event.prevent_default()
            self.scroll_rows(direction * max(1, round(self.app.scroll_sensitivity_y)))

    def on_scroll_up(self, event: ScrollUp) -> None:
        """A page up, by the scrollbar."""
        event.stop()
        event.prevent_default()
        self.scroll_rows(1 - self._layout_of.height)

    def on_scroll_down(self, event: ScrollDown) -> None:
        """A page down, by the scrollbar."""
        event.stop()
        event.prevent_default()
        self.scroll_rows(self._layout_of.height - 1)

    def _go(self, line: RawLine, row: int | None = None) -> bool:
        """Bring a line into view, its `row` first or else anywhere; whether it is known."""
        layout = self._layout_of
        view = layout.view
        if view is None:
            return False
        self._hold()
        index = view.index_of(line)
        here = view.lines(index, 1)
        known = bool(here) and key_of(here[0]) == key_of(line)
        self._goal = None if known or view.complete else (line, row)
        if row is not None:
            layout.to(index, row if known else 0)
        elif not here:
            layout.to_end()
        elif not any(one.at == index and not one.part for one in layout.page()):
            layout.to(index, clamp=False)
            layout.move(-(layout.height // 2))
            if len(layout.page()) < layout.height:
                layout.to_end()
        return known

    # Choosing text with the mouse

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is chosen; while something is, nothing moves."""
        if selection is not None:
            self._hold()
            self._tell()
        self.refresh()

    def text_select_all(self) -> None:
        """A double click means no more than a click: nobody wants to copy the whole of a log."""

    def _forget_selection(self) -> None:
        if self.is_attached and self.text_selection is not None:
            self.screen.clear_selection()
