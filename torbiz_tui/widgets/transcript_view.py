"""A view of a conversation: where it stands, what stays in place, and its rows."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from torbiz_tui.widgets import keys
from torbiz_tui.widgets.markdown_blocks import Block
from torbiz_tui.widgets.styled_rows import Row
from torbiz_tui.widgets.transcript_layout import Place, TranscriptLayout
from torbiz_tui.widgets.transcript_selection import number_of, offset_of, selected_text
from torbiz_tui.widgets.transcript_styles import CSS, STYLES

_LEFT, _RIGHT = 2, 1
_CHOSEN = "▌ "


class TranscriptView(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows of messages; follows the end only for who is at the end."""

    BINDINGS = [*keys.TRANSCRIPT]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"transcript--{name}" for name in STYLES}
    DEFAULT_CSS = CSS

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._layout_of = TranscriptLayout()
        self._following = True
        self._placing = False
        self._painting = False
        self._new_lines = 0
        self._selected: int | None = None
        self._styles: dict[str, Style] = {}
        self._strips: dict[tuple[Block, int, bool], Strip] = {}
        self._view = Size(80, 1)

    # Where it stands

    @property
    def following(self) -> bool:
        """Whether the end is shown and stays in view."""
        return self._following

    @property
    def _height(self) -> int:
        return self._view.height

    def _anchor(self) -> Place | None:
        """What stands in the first row of the view; None where nothing does."""
        if not self._layout_of.items:
            return None
        return self._layout_of.locate(int(self.scroll_y))

    def _settle(self, anchor: Place | None, changed: Place | None = None) -> None:
        """Measure what is in view and near it; the anchor stays in the first row.

        Where the view stands as before, it is drawn from `changed` on; all of it without that.
        """
        layout, height, before = self._layout_of, self._height, self.scroll_y
        if not layout.items:
            self._following, row = True, 0
        elif self._following or anchor is None or anchor.item >= len(layout.items):
            layout.measure(layout.last_place(), 3 * height, 0)
            row = max(0, layout.rows - height)
            self._following = True
        else:
            anchor = layout.measure(anchor, 2 * height, 3 * height)
            row = layout.row_of(anchor)
        if self._following:
            self._new_lines = 0
        self._placing = True
        try:
            size = Size(0, layout.rows)
            if size != self.virtual_size:
                # Its watcher would lay out the whole screen, and no size but this one has changed.
                self.set_reactive(TranscriptView.virtual_size, size)
                self._scroll_update(size)
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        finally:
            self._placing = False
        if self.size.height and self.scroll_y >= self.max_scroll_y:
            self._following, self._new_lines = True, 0
        if changed is None or self.scroll_y != before:
            self.refresh()
            return
        bottom = int(before) + height
        # The last row may have the hint on it.
        first = min(max(int(before), layout.row_of(changed)), bottom - 1)
        self.refresh_lines(first, bottom - first)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow again as soon as the reader is back at the end."""
        super().watch_scroll_y(old_value, new_value)
        if self._placing or self.size.height == 0:
            return
        self._following = new_value >= self.max_scroll_y
        self._settle(self._anchor())

    def on_resize(self, event: events.Resize) -> None:
        """Wrap at the new width; the first line shown stays the first."""
        del event
        region = self.scrollable_content_region
        if not region.area:
            return
        self._view = Size(max(1, region.width), max(1, region.height))
        width = max(1, region.width - _LEFT - _RIGHT)
        layout, anchor = self._layout_of, self._anchor()
        if width != layout.width:
            self._forget_selection()
            self._strips.clear()
            letters = layout.letters_above(anchor) if anchor is not None else 0
            layout.set_width(width, [anchor.item] if anchor is not None else [])
            if anchor is not None:
                anchor = layout.below_letters(anchor, letters)
        self._settle(anchor)

    def notify_style_update(self) -> None:
        """Other colours: nothing that was made with the old ones is kept."""
        super().notify_style_update()
        self._styles.clear()
        self._strips.clear()

    # Moving

    def _to_row(self, row: float) -> None:
        self.scroll_to(y=row, animate=False, immediate=True, force=True)

    def action_down(self) -> None:
        """One row down."""
        self._to_row(self.scroll_y + 1)

    def action_up(self) -> None:
        """One row up."""
        self._to_row(self.scroll_y - 1)

    def action_page(self, direction: int) -> None:
        """One page up or down, with one row in common."""
        self._to_row(self.scroll_y + direction * max(1, self._height - 1))

    def action_top(self) -> None:
        """To the first row."""
        self._to_row(0)

    def action_end(self) -> None:
        """To the end; what comes is followed."""
        self._following = True
        self._settle(None)

    def _into_view(self, index: int) -> None:
        layout = self._layout_of
        layout.locate(layout.starts[index])
        place = layout.measure(Place(index, 0, 0), self._height, self._height)
        first, last = layout.row_of(place), layout.starts[index + 1] - 1
        top, bottom = int(self.scroll_y), int(self.scroll_y) + self._height - 1
        if first < top or last > bottom:
            fits = last - first < self._height
            row = last - self._height + 1 if fits and last > bottom else first
            self._following = row >= layout.rows - self._height
            self._settle(layout.locate(row))

    # Rendering

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows for the screen, without what only the mouse asks for."""
        self._painting = True
        try:
            return super().render_lines(crop)
        finally:
            self._painting = False

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        width, height = self._view
        layout = self._layout_of
        row = int(self.scroll_y) + y
        if layout.items and row < layout.rows:
            strip = self._row_strip(layout.locate(row), width)
        elif layout.items and not self._painting:
            # Below the end the mouse is behind the last row.
            strip = Strip.blank(width).apply_offsets(width, number_of(layout.last_place()))
        else:
            strip = Strip.blank(width, self._style(""))
        if y == height - 1 and self._new_lines and not self._following:
            strip = self._with_hint(strip, width)
        return strip

    def _row_strip(self, place: Place, width: int) -> Strip:
        layout = self._layout_of
        block = layout.block_at(place)
        # The blank row above its heading is no part of a message.
        inside = place.block > 0 or place.row > 0
        chosen = inside and layout.items[place.item].entry.key == self._selected
        selection = self.text_selection
        span = None if selection is None else selection.get_span(number_of(place))
        key = (block, place.row, chosen)
        if self._painting and span is None and key in self._strips:
            return self._strips[key]
        rows = layout.block_rows(block)
        row = rows[place.row] if place.row < len(rows) else Row([])
        strip = self._strip(row, chosen, span).adjust_cell_length(width, self._style(""))
        if not self._painting:
            x, number = offset_of(place, row)
            return strip.apply_offsets(x - _LEFT, number)
        if span is None:
            self._strips[key] = strip
            # A strip is costly to keep, and only those in view are asked for again.
            if len(self._strips) > 3 * self._view.height:
                del self._strips[next(iter(self._strips))]
        return strip

    def _strip(self, row: Row, chosen: bool, span: tuple[int, int] | None) -> Strip:
        bar = (_CHOSEN, "selected") if chosen else (" " * _LEFT, "")
        segments = [
            Segment(text, self._style(names)) for text, names in (bar, *row.parts[: row.lead])
        ]
        at = 0
        for text, names in row.parts[row.lead :]:
            segments += self._marked(text, self._style(names), at, span)
            at += len(text)
        return Strip(segments)

    def _marked(
        self, text: str, style: Style, at: int, span: tuple[int, int] | None
    ) -> list[Segment]:
        """A part of a row, with what the mouse has chosen of it."""
        if span is None:
            return [Segment(text, style)]
        start = min(max(0, span[0] - at), len(text))
        end = len(text) if span[1] == -1 else min(max(start, span[1] - at), len(text))
        marked = style + self.screen.get_component_rich_style("screen--selection")
        pieces = ((text[:start], style), (text[start:end], marked), (text[end:], style))
        return [Segment(piece, own) for piece, own in pieces if piece]

    def _style(self, names: str) -> Style:
        style = self._styles.get(names)
        if style is None:
            style = self.rich_style
            for name in names.split():
                component = f"transcript--{name}"
                own = self.get_component_rich_style(component, partial=True)
                if own.color is not None:
                    # Only the full style has a colour that was found by the background.
                    own += Style(color=self.get_component_rich_style(component).color)
                style += own
            self._styles[names] = style
        return style

    def _with_hint(self, strip: Strip, width: int) -> Strip:
        lines = "1 new line" if self._new_lines == 1 else f"{self._new_lines} new lines"
        hint = f" {lines} ↓ End "
        left = strip.crop(0, max(0, width - len(hint)))
        return Strip([*left, Segment(hint, self._style("hint"))]).adjust_cell_length(width)

    # Choosing text with the mouse

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that is chosen, with lines as long as they were."""
        return selected_text(self._layout_of, selection), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is chosen."""
        del selection
        self.refresh()

    def text_select_all(self) -> None:
        """A double click means no more than a click: nobody wants to copy the whole of this."""

    def _forget_selection(self) -> None:
        if self.is_attached and self.text_selection is not None:
            self.screen.clear_selection()
