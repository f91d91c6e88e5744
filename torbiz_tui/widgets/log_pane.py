"""A pane that follows a log: bounded, batched, and never yanked away from its reader."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer

from torbiz_tui.widgets import keys
from torbiz_tui.widgets.log_lines import LogLines, level_of

LINES_KEPT = 20_000
_FLUSH_S = 0.08


class LogPane(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows lines as they come; follows the end only for who is at the end."""

    BINDINGS = [*keys.PANE]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-pane--warning",
        "log-pane--error",
        "log-pane--empty",
        "log-pane--match",
        "log-pane--current",
    }
    DEFAULT_CSS = """
    LogPane {
        background: $background;
        color: $foreground;
        padding: 0 1;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
    }
    LogPane .log-pane--warning { color: $text-warning; }
    LogPane .log-pane--error { color: $text-error; }
    LogPane .log-pane--empty { color: $text-muted; }
    LogPane .log-pane--match { text-style: underline bold; }
    LogPane .log-pane--current { text-style: reverse bold; }
    """

    class Changed(Message):
        """What the pane would say of itself has changed."""

        def __init__(self, pane: LogPane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> LogPane:
            """The pane."""
            return self.pane

        def can_replace(self, message: Message) -> bool:
            """Only the newest counts."""
            return isinstance(message, LogPane.Changed) and message.pane is self.pane

    def __init__(
        self,
        *,
        empty_text: str = "Nothing logged yet.",
        limit: int = LINES_KEPT,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._lines = LogLines(limit)
        self._limit = limit
        self._pending: list[str] = []
        self._flush_timer: Timer | None = None
        self._empty_text = empty_text
        self._wrap = True
        self.following = True
        self.new_lines = 0
        self._query: re.Pattern[str] | None = None
        self._match: int | None = None

    # What it holds

    @property
    def line_count(self) -> int:
        """How many lines are kept."""
        return len(self._lines)

    @property
    def wrapped(self) -> bool:
        """Whether long lines are broken."""
        return self._wrap

    def set_empty_text(self, text: str) -> None:
        """What to say while there is nothing."""
        self._empty_text = text
        self.refresh()

    def write_lines(self, raw: Iterable[str]) -> None:
        """Add lines as they stand in a file; they are shown with the next batch."""
        self._pending.extend(raw)
        if len(self._pending) > self._limit:
            del self._pending[: -self._limit]
        if self._flush_timer is None:
            self._flush_timer = self.set_timer(_FLUSH_S, self._flush)

    def replace_lines(self, raw: Iterable[str]) -> None:
        """Show other lines instead, from their end."""
        self._lines.clear()
        self._pending = list(raw)
        self.following = True
        self._flush()

    def _flush(self) -> None:
        self._flush_timer = None
        pending, self._pending = self._pending, []
        removed = self._lines.extend(pending)
        self._resize_virtual()
        if self.following:
            self._to_end()
        else:
            self.new_lines += len(pending)
            if removed:
                if self._match is not None:
                    self._match = None
                self.scroll_to(
                    y=max(0, self.scroll_y - removed), animate=False, immediate=True, force=True
                )
        self.refresh()
        self.post_message(self.Changed(self))

    def _resize_virtual(self) -> None:
        width = 0 if self._wrap else self._lines.widest
        self.virtual_size = Size(width, self._lines.rows)

    def on_resize(self, event: events.Resize) -> None:
        """Break the lines at the new width; who is at the end stays there."""
        del event
        following = self.following
        if self._wrap:
            self._lines.rewrap(max(1, self.scrollable_content_region.width))
        self._resize_virtual()
        if following:
            self._to_end()
        self.refresh()

    # Where it stands

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow again as soon as the reader is back at the end."""
        super().watch_scroll_y(old_value, new_value)
        if self.size.height == 0:
            return
        following = new_value >= self.max_scroll_y
        if following != self.following:
            self.following = following
            self.post_message(self.Changed(self))
        if following:
            self.new_lines = 0

    def _to_end(self) -> None:
        self.following = True
        self.new_lines = 0
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        self.call_after_refresh(self._place_thumb)

    def _place_thumb(self) -> None:
        # A scrollbar that appears only now has missed where the view stands.
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = self.scroll_y

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
        height = self.scrollable_content_region.height
        self._to_row(self.scroll_y + direction * max(1, height - 1))

    def action_top(self) -> None:
        """To the first row."""
        self._to_row(0)

    def action_end(self) -> None:
        """To the end; what comes is followed."""
        self._to_end()
        self.post_message(self.Changed(self))

    def action_sideways(self, direction: int) -> None:
        """Left or right by half a screen, where lines are not broken."""
        step = max(1, self.scrollable_content_region.width // 2)
        self.scroll_to(
            x=self.scroll_x + direction * step, animate=False, immediate=True, force=True
        )

    def action_wrap(self) -> None:
        """Break long lines, or do not; the first line shown stays the first."""
        first = self._lines.locate(int(self.scroll_y))[0] if self.line_count else 0
        following = self.following
        self._wrap = not self._wrap
        self._lines.rewrap(max(1, self.scrollable_content_region.width) if self._wrap else 0)
        self._resize_virtual()
        self.scroll_to(x=0, animate=False, immediate=True, force=True)
        if following:
            self._to_end()
        elif self.line_count:
            self._to_row(self._lines.row_of(min(first, self.line_count - 1)))
        self.refresh()
        self.post_message(self.Changed(self))

    def action_clear(self) -> None:
        """Forget what is shown; the file stays, and what comes is shown."""
        self._lines.clear()
        self._pending.clear()
        self._match = None
        self._resize_virtual()
        self._to_end()
        self.refresh()
        self.post_message(self.Changed(self))

    # Search

    def search(self, text: str) -> bool:
        """Mark `text` wherever it stands and go to the last place above the end of the view.

        Case does not matter. An empty text ends the search. Returns whether it was found.
        """
        self._query = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._match = None
        self.refresh()
        found = self.find(-1) if self._query is not None else True
        self.post_message(self.Changed(self))
        return found

    def find(self, direction: int) -> bool:
        """Go to the next line that matches, around the ends; returns whether there is one."""
        if self._query is None or not self.line_count:
            return False
        count = self.line_count
        start = self._match if self._match is not None else self._search_start(direction)
        for step in range(1, count + 1):
            index = (start + direction * step) % count
            if self._query.search(self._lines[index]):
                self._match = index
                self._show_line(index)
                self.post_message(self.Changed(self))
                return True
        return False

    def _search_start(self, direction: int) -> int:
        last = min(self._lines.rows - 1, int(self.scroll_y) + self.scrollable_content_region.height)
        line = self._lines.locate(last)[0]
        return line + 1 if direction < 0 else line - 1

    def _show_line(self, index: int) -> None:
        row, height = self._lines.row_of(index), self.scrollable_content_region.height
        if not self.scroll_y <= row < self.scroll_y + height:
            self._to_row(row - height // 2)
        self.refresh()

    @property
    def match_text(self) -> str:
        """`3 of 12`: which matching line is shown; empty without a search."""
        if self._query is None:
            return ""
        matches = [i for i in range(self.line_count) if self._query.search(self._lines[i])]
        if not matches:
            return "not found"
        if self._match in matches:
            return f"{matches.index(self._match) + 1} of {len(matches)} lines"
        return f"{len(matches)} lines"

    # Rendering

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        scroll_x, scroll_y = self.scroll_offset
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not self.line_count:
            text = self._empty_text if y == 0 else ""
            style = self.get_component_rich_style("log-pane--empty")
            empty = Text(text, no_wrap=True)
            empty.stylize(style)
            return self._strip(empty).crop_extend(0, width, base)
        row = scroll_y + y
        if row >= self._lines.rows:
            return Strip.blank(width, base)
        index, part = self._lines.locate(row)
        offset, piece = self._lines.piece(index, part)
        text_line = self._styled(index, offset, piece)
        strip = self._strip(text_line).apply_offsets(offset, index)
        return strip.crop_extend(scroll_x, scroll_x + width, base)

    def _strip(self, text: Text) -> Strip:
        return Strip(text.render(self.app.console), text.cell_len)

    def _styled(self, index: int, offset: int, piece: str) -> Text:
        line = self._lines[index]
        level = level_of(line)
        style = self.get_component_rich_style(f"log-pane--{level}") if level else self.rich_style
        text = Text(piece, no_wrap=True, end="")
        text.stylize(style)
        if self._query is not None:
            name = "log-pane--current" if index == self._match else "log-pane--match"
            marked = self.get_component_rich_style(name, partial=True)
            for found in self._query.finditer(line):
                self._mark(text, found.start() - offset, found.end() - offset, marked)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(index)) is not None:
            start, end = span
            chosen = self.screen.get_component_rich_style("screen--selection")
            self._mark(text, start - offset, (len(line) if end == -1 else end) - offset, chosen)
        return text

    def _mark(self, text: Text, start: int, end: int, style: Style) -> None:
        if end > 0 and start < len(text):
            text.stylize(style, max(0, start), end)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text as it stands in the log, not as it is broken on the screen."""
        return selection.extract(self._lines.text()), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Show what is selected."""
        del selection
        self.refresh()
