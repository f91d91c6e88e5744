"""A log on the screen: where it stands, what stays in place, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollDown, ScrollUp
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.views import LineView
from torbiz_tui.troubleshooting.symptom import Symptom
from torbiz_tui.widgets.log_layout import LogLayout, Row
from torbiz_tui.widgets.log_rows import Piece, Span, overlaid, shaded, visible
from torbiz_tui.widgets.log_styles import CSS, SOURCES, STYLES
from torbiz_tui.widgets.log_text import key_of

_FRAME_S = 0.05
_LONGEST_LABEL = 12


class LogView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a page of a `LineView`; follows the end only for who is there."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log--{name}" for name in STYLES}
    DEFAULT_CSS = CSS

    explain: Callable[[str], Symptom | None] | None = None
    """What a line means, for the gutter; asked for lines in view only."""
    labels: Callable[[RawLine], str] | None = None
    """The short name of the source that a line is from, shown before it."""

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

    def __init__(
        self,
        *,
        empty_text: str = "Nothing logged yet.",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._empty_text = empty_text
        self._layout_of = LogLayout()
        # The last line when the end was left: what comes after it is new.
        self._seen: RawLine | None = None
        self._new_lines = 0
        # Where to go as soon as it is known; the row to begin with, None for the middle.
        self._goal: tuple[RawLine, int | None] | None = None
        self._to_first = False
        self._label_cells = 0
        self._widest = 0
        self._frame: Timer | None = None
        self._framed_at = 0.0
        self._told: tuple[object, ...] = ()
        self._placing = False
        self._painting = False
        self._styles: dict[str, Style] = {}

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
    def wrapped(self) -> bool:
        """Whether long lines are broken."""
        return self._layout_of.wrapped

    @property
    def first_line(self) -> RawLine | None:
        """The line at the top."""
        return self._layout_of.top

    def set_empty_text(self, text: str) -> None:
        """What to say while there is nothing."""
        if text != self._empty_text:
            self._empty_text = text
            self.refresh()

    def show_view(self, view: LineView | None) -> None:
        """Begin with another view, at its end."""
        self._goal, self._to_first, self._seen = None, False, None
        self._label_cells = self._widest = 0
        self._layout_of.show(view)
        self._fit()
        self._settle()

    # Taking in what came

    def look(self) -> None:
        """The view may have changed: show it, 20 times a second at most."""
        if self._frame is not None or self._layout_of.view is None:
            return
        wait = self._framed_at + _FRAME_S - monotonic()
        if wait <= 0 or not self.is_running:
            self._take_in()
        else:
            self._frame = self.set_timer(wait, self._take_in)

    def _take_in(self) -> None:
        self._frame = None
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
        """Say that something has changed, if it has."""
        told = self._state()
        if told != self._told:
            self._told = told
            if self.is_running:
                self.post_message(self.Changed(self))

    def _state(self) -> tuple[object, ...]:
        view = self._layout_of.view
        progress = None if view is None else (view.complete, round(view.progress, 2))
        return (self.line_count, self.following, self._new_lines, self.wrapped, progress)

    def _count_new(self) -> int:
        view, seen = self._layout_of.view, self._seen
        if view is None or seen is None:
            return 0
        index = view.index_of(seen)
        here = view.lines(index, 1)
        same = bool(here) and key_of(here[0]) == key_of(seen)
        return max(0, view.count - index - same)

    # Where it stands

    @property
    def _lead(self) -> int:
        """The cells before a line's text."""
        return 1 + (self.explain is not None) + (self._label_cells and self._label_cells + 1)

    def _fit(self) -> None:
        """Take the size that there is."""
        region, layout = self.scrollable_content_region, self._layout_of
        size = (max(1, region.width - self._lead), region.height)
        if region.area and size != (layout.width, layout.height):
            layout.resize(*size, wrapped=layout.wrapped)

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

    def _label(self, line: RawLine) -> str:
        return self.labels(line)[:_LONGEST_LABEL] if self.labels is not None else ""

    def _place_scrollbars(self) -> None:
        layout = self._layout_of
        steps = layout.steps
        width = 0 if layout.wrapped else self._lead + self._widest
        size = Size(width, steps + layout.height if steps else min(layout.count, layout.height))
        self._placing = True
        try:
            if size != self.virtual_size:
                # Its watcher would lay out the whole screen, and no size but this one has changed.
                self.set_reactive(LogView.virtual_size, size)
                self._scroll_update(size)
            row = steps if layout.at_end else min(layout.index, max(0, steps - 1))
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        finally:
            self._placing = False
        if self.show_vertical_scrollbar:
            # One that appears only now has missed where the view stands.
            self.vertical_scrollbar.position = self.scroll_y

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

    def notify_style_update(self) -> None:
        """Other colours: nothing that was made with the old ones is kept."""
        super().notify_style_update()
        self._styles.clear()

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
        self._goal, self._to_first = None, False
        if self._layout_of.at_end:
            self._follow()
        else:
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
            layout.to(index)
            layout.move(-(layout.height // 2))
        return known

    # Rendering

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows for the screen, without what only the mouse asks for."""
        # The first picture is made before the size is told.
        self._fit()
        self._painting = True
        try:
            return super().render_lines(crop)
        finally:
            self._painting = False

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        width = self.scrollable_content_region.width
        page = self._layout_of.page()
        if y < len(page):
            return self._row_strip(page[y], width)
        if page:
            blank = Strip.blank(width, self._style(""))
            # Below the end the mouse is behind the last row.
            return blank if self._painting else blank.apply_offsets(width, page[-1].at)
        base = self._style("")
        text = self._empty_text if y == 0 else ""
        strip = Strip([Segment(" ", base), Segment(text, self._style("empty"))])
        return strip.adjust_cell_length(width, base)

    def _row_strip(self, row: Row, width: int) -> Strip:
        shown = row.shown
        left = 0 if self.wrapped else int(self.scroll_x)
        start, text = visible(
            shown, self._layout_of.line_width, row.part, left, max(0, width - self._lead)
        )
        pieces = overlaid(shaded(shown, start, text), start, self._spans(row))
        lead = list(self._before(row))
        strip = Strip([Segment(one, self._style(names)) for one, names in (*lead, *pieces) if one])
        strip = strip.adjust_cell_length(width, self._style(""))
        if self._painting:
            return strip
        return strip.apply_offsets(start - sum(len(one) for one, _ in lead), row.at)

    def _before(self, row: Row) -> Iterator[Piece]:
        """What stands before a row's text."""
        yield self._gutter(row)
        if self.explain is not None:
            symptom = self.symptom_of(row) if not row.part else None
            yield ("!", "symptom") if symptom is not None else (" ", "")
        if self._label_cells:
            label = self._label(row.line) if not row.part else ""
            number = sum(label.encode()) % SOURCES
            yield f"{label:{self._label_cells}} ", f"source-{number}"

    def _gutter(self, row: Row) -> Piece:
        """The mark before a row."""
        del row
        return " ", ""

    def _spans(self, row: Row) -> list[Span]:
        """What is marked in a row's line."""
        selection = self.text_selection
        span = None if selection is None else selection.get_span(row.at)
        if span is None:
            return []
        return [(span[0], len(row.shown.text) if span[1] == -1 else span[1], "chosen")]

    def symptom_of(self, row: Row) -> Symptom | None:
        """The known symptom that a row's line shows."""
        if self.explain is None:
            return None
        shown = row.shown
        if not shown.examined:
            shown.examined, shown.symptom = True, self.explain(shown.source)
        return shown.symptom

    def _style(self, names: str) -> Style:
        style = self._styles.get(names)
        if style is None:
            style = self.rich_style
            for name in names.split():
                if name == "chosen":
                    style += self.screen.get_component_rich_style("screen--selection")
                    continue
                component = f"log--{name}"
                own = self.get_component_rich_style(component, partial=True)
                if own.color is not None:
                    # Only the full style has a colour that was found by the background.
                    own += Style(color=self.get_component_rich_style(component).color)
                style += own
            self._styles[names] = style
        return style

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
