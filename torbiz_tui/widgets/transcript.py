"""A conversation: as smooth with 5,000 messages as with one, and never yanked from its reader."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual import events
from textual.message import Message
from textual.timer import Timer

from torbiz_tui.widgets.transcript_layout import Entry, Place
from torbiz_tui.widgets.transcript_view import TranscriptView

__all__ = ["Entry", "Transcript"]

_FLUSH_S = 0.08
# A flush may take this share of the time until the next one.
_BUSY_SHARE = 0.25


class Transcript(TranscriptView):
    """Messages one under the other, written while they come; one of them may be selected."""

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
        self._waiting: set[int] = set()
        self._flush_timer: Timer | None = None
        self._pause_s = _FLUSH_S

    # What it holds

    def show(self, entries: Sequence[Entry], *, end: bool = True) -> None:
        """Show these entries instead, from their end or their beginning."""
        self._forget_selection()
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
        self._forget_selection()
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
        changed: Place | None = None
        for key in self._waiting:
            index = layout.index_of(key)
            item = layout.items[index]
            before, start = item.height, layout.starts[index]
            fresh = item.take_in(layout.width)
            layout.resized()
            if anchor is not None and anchor.item == index and anchor.block >= fresh:
                anchor = layout.place_in(index, row - start, fresh)
            self._came(item.height - before)
            place = Place(index, fresh, 0)
            changed = place if changed is None else min(changed, place)
        self._waiting.clear()
        self._settle(anchor, changed)
        self._pause_s = max(_FLUSH_S, (time.perf_counter() - began) / _BUSY_SHARE)

    def _came(self, rows: int) -> None:
        if not self._following:
            self._new_lines += max(0, rows)

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

    def on_click(self, event: events.Click) -> None:
        """Select the message under the pointer."""
        if self.text_selection is not None:
            return
        row = int(self.scroll_y) + event.y
        layout = self._layout_of
        if layout.items and row < layout.rows:
            entry = layout.items[layout.locate(row).item].entry
            if entry.role != "rule":
                self._choose(entry.key)
