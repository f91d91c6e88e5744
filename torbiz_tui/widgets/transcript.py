"""A conversation: as smooth with 5,000 messages as with one, and never yanked from its reader."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer

from torbiz_tui.widgets import keys
from torbiz_tui.widgets.markdown_blocks import Block
from torbiz_tui.widgets.styled_rows import Row
from torbiz_tui.widgets.transcript_layout import Entry, Place, TranscriptLayout

__all__ = ["Entry", "Transcript"]

_FLUSH_S = 0.05
# A flush may take this share of the time until the next one.
_BUSY_SHARE = 0.25
_LEFT, _RIGHT = 2, 1
_CHOSEN = "▌ "
_STYLES = (
    "heading-user",
    "heading-assistant",
    "heading-system",
    "note",
    "rule",
    "h1",
    "h2",
    "h3",
    "strong",
    "emphasis",
    "struck",
    "inline-code",
    "bullet",
    "quote",
    "quote-bar",
    "code",
    "bar",
    "label",
    "comment",
    "keyword",
    "name",
    "number",
    "removed",
    "string",
    "selected",
    "hint",
)


class Transcript(ScrollView, can_focus=True, inherit_bindings=False):
    """Messages one under the other; follows the end only for who is at the end."""

    BINDINGS = [*keys.TRANSCRIPT]
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"transcript--{name}" for name in _STYLES}
    DEFAULT_CSS = """
    Transcript {
        background: $background;
        color: $foreground;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
        overflow-x: hidden;
    }
    Transcript .transcript--heading-user { color: $text-accent; text-style: bold; }
    Transcript .transcript--heading-assistant { color: $text-success; text-style: bold; }
    Transcript .transcript--heading-system { color: $text-warning; text-style: bold; }
    Transcript .transcript--note { color: $text-muted; }
    Transcript .transcript--rule { color: $text-muted; }
    Transcript .transcript--h1 { color: $text-primary; text-style: bold underline; }
    Transcript .transcript--h2 { color: $text-primary; text-style: bold; }
    Transcript .transcript--h3 { text-style: bold; }
    Transcript .transcript--strong { text-style: bold; }
    Transcript .transcript--emphasis { text-style: italic; }
    Transcript .transcript--struck { text-style: strike; }
    Transcript .transcript--inline-code { color: $text-warning; background: $surface; }
    Transcript .transcript--bullet { color: $text-accent; }
    Transcript .transcript--quote { text-style: italic; }
    Transcript .transcript--quote-bar { color: $text-accent; }
    Transcript .transcript--code { background: $surface; }
    Transcript .transcript--bar { color: $text-muted; }
    Transcript .transcript--label { color: $text-muted; text-style: italic; }
    Transcript .transcript--comment { color: $text-muted; text-style: italic; }
    Transcript .transcript--keyword { color: $text-accent; text-style: bold; }
    Transcript .transcript--name { color: $text-primary; }
    Transcript .transcript--number { color: $text-warning; }
    Transcript .transcript--removed { color: $text-error; }
    Transcript .transcript--string { color: $text-success; }
    Transcript .transcript--selected { color: $text-accent; text-style: bold; }
    Transcript .transcript--hint { color: $text-accent; text-style: bold reverse; }
    Transcript:ansi .transcript--heading-user { color: ansi_magenta; }
    Transcript:ansi .transcript--note { text-style: dim; }
    Transcript:ansi .transcript--rule { text-style: dim; }
    Transcript:ansi .transcript--bar { text-style: dim; }
    Transcript:ansi .transcript--label { text-style: dim; }
    Transcript:ansi .transcript--comment { text-style: dim; }
    """

    class Selected(Message):
        """Another message is selected; `key` is None when none is."""

        def __init__(self, transcript: Transcript, key: int | None) -> None:
            super().__init__()
            self.transcript = transcript
            self.key = key

        @property
        def control(self) -> Transcript:
            """The transcript."""
            return self.transcript

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._layout_of = TranscriptLayout()
        self._following = True
        self._placing = False
        self._new_lines = 0
        self._selected: int | None = None
        self._waiting: set[int] = set()
        self._flush_timer: Timer | None = None
        self._pause_s = _FLUSH_S
        self._styles: dict[str, Style] = {}
        self._strips: dict[tuple[Block, int, bool], Strip] = {}
        self._view = Size(80, 1)

    # What it holds

    def show(self, entries: Sequence[Entry], *, end: bool = True) -> None:
        """Show these entries instead, from their end or their beginning."""
        self._layout_of.replace_from(0, entries)
        self._waiting.clear()
        self._choose(None)
        self._following = end
        self._new_lines = 0
        self._settle(Place(0, 0, 0))

    def add(self, entry: Entry) -> None:
        """Add an entry at the end."""
        anchor = self._anchor()
        self._layout_of.replace_from(len(self._layout_of.items), [entry])
        self._came(self._layout_of.items[-1].height)
        self._settle(anchor)

    def write(self, key: int, text: str) -> None:
        """Add to the text of an entry; it is shown with the next batch. Raises KeyError."""
        self._layout_of.item(key).append(text)
        self._waiting.add(key)
        if self._flush_timer is None:
            self._flush_timer = self.set_timer(self._pause_s, self.flush)

    def finish(self, key: int, note: str, *, text: str | None = None) -> None:
        """Nothing more comes: say how it went, and correct the text. Raises KeyError."""
        item = self._layout_of.item(key)
        if text is not None and text != item.text:
            self.change(key, text=text, note=note)
        else:
            self.change(key, note=note)

    def change(self, key: int, **fields: Any) -> None:
        """Change fields of an entry. Raises KeyError."""
        self.flush()
        anchor = self._anchor()
        layout = self._layout_of
        index = layout.index_of(key)
        item = layout.items[index]
        before, row = item.height, int(self.scroll_y) - layout.starts[index]
        text = fields.pop("text", None)
        item.entry = replace(item.entry, **fields)
        if text is not None and text != item.text:
            item.set_text(text)
        item.redecorate(layout.width)
        layout.resized()
        if anchor is not None and anchor.item == index and item.blocks is None:
            anchor = layout.place_in(index, row, 0)
        self._came(item.height - before)
        self._settle(anchor)

    def replace_from(self, key: int, entries: Sequence[Entry]) -> None:
        """Drop this entry and all after it, and put these there. Raises KeyError."""
        self.flush()
        anchor = self._anchor()
        self._layout_of.replace_from(self._layout_of.index_of(key), entries)
        self._waiting = {waiting for waiting in self._waiting if waiting in self._layout_of}
        if self._selected is not None and self._selected not in self._layout_of:
            self._choose(None)
        self._settle(anchor)

    def clear(self) -> None:
        """Show nothing."""
        self.show([])

    def text_of(self, key: int) -> str:
        """The text of an entry as it came. Raises KeyError."""
        return self._layout_of.item(key).text

    def code_blocks(self, key: int) -> list[str]:
        """The source of the code blocks of an entry. Raises KeyError."""
        from torbiz_tui.widgets.markdown_blocks import code_blocks

        return code_blocks(self.text_of(key))

    # What comes

    def flush(self) -> None:
        """Show what was written, without waiting for the next batch."""
        if self._flush_timer is not None:
            self._flush_timer.stop()
            self._flush_timer = None
        if not self._waiting:
            return
        began = time.perf_counter()
        anchor = self._anchor()
        layout = self._layout_of
        row = int(self.scroll_y)
        for key in self._waiting:
            index = layout.index_of(key)
            item = layout.items[index]
            before, start = item.height, layout.starts[index]
            fresh = item.take_in(layout.width)
            layout.resized()
            if anchor is not None and anchor.item == index and anchor.block >= fresh:
                anchor = layout.place_in(index, row - start, fresh)
            self._came(item.height - before)
        self._waiting.clear()
        self._settle(anchor)
        self._pause_s = max(_FLUSH_S, (time.perf_counter() - began) / _BUSY_SHARE)

    def _came(self, rows: int) -> None:
        if not self._following:
            self._new_lines += max(0, rows)

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

    def _settle(self, anchor: Place | None) -> None:
        """Measure what is in view and near it; the anchor stays in the first row."""
        layout, height = self._layout_of, self._height
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
                self.set_reactive(Transcript.virtual_size, size)
                self._scroll_update(size)
            self.scroll_to(y=row, animate=False, immediate=True, force=True)
        finally:
            self._placing = False
        self.refresh()

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

    # Selecting

    @property
    def selected(self) -> int | None:
        """The key of the selected entry."""
        return self._selected

    def select(self, key: int | None) -> None:
        """Select an entry and scroll it into view; None selects nothing. Raises KeyError."""
        index = None if key is None else self._layout_of.index_of(key)
        self._choose(key)
        if index is not None:
            self._into_view(index)

    def _choose(self, key: int | None) -> None:
        if key != self._selected:
            self._selected = key
            self.refresh()
            self.post_message(self.Selected(self, key))

    def select_previous(self) -> None:
        """Select the message before; the last one in view at first."""
        self._select(-1)

    def select_next(self) -> None:
        """Select the message after."""
        self._select(1)

    def action_select(self, direction: int) -> None:
        """Select the message before or after."""
        self._select(direction)

    def _select(self, direction: int) -> None:
        layout = self._layout_of
        if not layout.items:
            return
        if self._selected is None:
            bottom = min(layout.rows - 1, int(self.scroll_y) + self._height - 1)
            index = layout.locate(bottom).item
            direction = -1 if layout.items[index].entry.role == "rule" else 0
        else:
            index = layout.index_of(self._selected)
        index += direction
        while 0 <= index < len(layout.items) and layout.items[index].entry.role == "rule":
            index += direction
        if not 0 <= index < len(layout.items):
            return
        self._choose(layout.items[index].entry.key)
        self._into_view(index)

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

    def on_click(self, event: events.Click) -> None:
        """Select the message under the pointer."""
        row = int(self.scroll_y) + event.y
        layout = self._layout_of
        if layout.items and row < layout.rows:
            entry = layout.items[layout.locate(row).item].entry
            if entry.role != "rule":
                self._choose(entry.key)

    # Rendering

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        width, height = self._view
        layout = self._layout_of
        row = int(self.scroll_y) + y
        if not layout.items or row >= layout.rows:
            strip = Strip.blank(width, self._style(""))
        else:
            place = layout.locate(row)
            strip = self._row_strip(place, width)
        if y == height - 1 and self._new_lines and not self._following:
            strip = self._with_hint(strip, width)
        return strip

    def _row_strip(self, place: Place, width: int) -> Strip:
        layout = self._layout_of
        block = layout.block_at(place)
        # The blank row above its heading is no part of a message.
        inside = place.block > 0 or place.row > 0
        chosen = inside and layout.items[place.item].entry.key == self._selected
        key = (block, place.row, chosen)
        strip = self._strips.get(key)
        if strip is None:
            rows = layout.block_rows(block)
            row = rows[place.row] if place.row < len(rows) else Row([])
            strip = self._strip(row, chosen).adjust_cell_length(width, self._style(""))
            self._strips[key] = strip
            # A strip is costly to keep, and only those in view are asked for again.
            if len(self._strips) > 3 * self._view.height:
                del self._strips[next(iter(self._strips))]
        return strip

    def _strip(self, row: Row, chosen: bool) -> Strip:
        bar = (_CHOSEN, "selected") if chosen else (" " * _LEFT, "")
        return Strip([Segment(text, self._style(names)) for text, names in (bar, *row.parts)])

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
