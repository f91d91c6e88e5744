"""Where the messages of a conversation stand, measured only near what is looked at."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, NamedTuple

from torbiz_tui.widgets.markdown_blocks import Block, Splitter
from torbiz_tui.widgets.styled_rows import Row
from torbiz_tui.widgets.transcript_blocks import rows_of

ROWS_KEPT = 1_500


@dataclass(frozen=True)
class Entry:
    """A message as it is shown; `branch` is which of how many, counted from 1."""

    key: int
    role: Literal["user", "assistant", "system", "rule"]
    heading: str
    text: str
    note: str = ""
    branch: tuple[int, int] | None = None


class Place(NamedTuple):
    """A row of a block of an item."""

    item: int
    block: int
    row: int


class Item:
    """An entry with its blocks, as far as they are known."""

    def __init__(self, entry: Entry) -> None:
        self.entry = replace(entry, text="")
        self._pieces = [entry.text] if entry.text else []
        self._splitter: Splitter | None = None
        self._unread: list[str] = []
        self.blocks: list[Block] | None = None
        self.heights: list[int] = []
        self.height = 0
        self._starts: list[int] | None = None

    @property
    def text(self) -> str:
        """The text as it came."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def set_text(self, text: str) -> None:
        """Another text instead."""
        self._pieces = [text] if text else []
        self.forget()

    def append(self, text: str) -> None:
        """More text at the end; shown with the next `take_in`."""
        self._pieces.append(text)
        self._unread.append(text)

    def forget(self) -> None:
        """Drop the blocks; they are made anew when they are needed."""
        self.blocks = None
        self._splitter = None
        self._unread.clear()

    def split(self, width: int) -> None:
        """Make the blocks, with estimated heights."""
        if self.blocks is None:
            self._splitter = Splitter(markdown=self.entry.role == "assistant")
            self._unread = [self.text]
            self.blocks, self.heights = [], []
            self.take_in(width)

    def take_in(self, width: int) -> int:
        """Make blocks of what was appended; the finished ones before the returned index stay."""
        if self.blocks is None or self._splitter is None:
            self._unread.clear()
            self.height = self.estimate(width)
            return 0
        text, self._unread = "".join(self._unread), []
        kept, blocks = self._splitter.feed(text)
        del self.blocks[kept + 1 :]
        del self.heights[kept + 1 :]
        fresh = [*([] if self.blocks else [self._head()]), *blocks, *self._foot()]
        self.blocks += fresh
        self.heights += [block.estimate(width) for block in fresh]
        self._starts = None
        self.height = sum(self.heights)
        return kept + 1

    def redecorate(self, width: int) -> None:
        """Make heading and note anew."""
        if self.blocks is None:
            self.height = self.estimate(width)
            return
        assert self._splitter is not None
        del self.blocks[self._splitter.count + 1 :]
        del self.heights[self._splitter.count + 1 :]
        self.blocks[0] = self._head()
        self.heights[0] = self.blocks[0].estimate(width)
        foot = self._foot()
        self.blocks += foot
        self.heights += [block.estimate(width) for block in foot]
        self._starts = None
        self.height = sum(self.heights)

    def _head(self) -> Block:
        entry = self.entry
        if entry.role == "rule":
            return Block("rule", entry.heading, 1)
        branch = f"{entry.branch[0]}/{entry.branch[1]}" if entry.branch else ""
        return Block("heading", entry.heading, 1, info=entry.role, aside=branch)

    def _foot(self) -> list[Block]:
        return [Block("note", self.entry.note)] if self.entry.note else []

    def estimate(self, width: int) -> int:
        """How many rows it takes, guessed from the length of its text."""
        if self.entry.role == "rule":
            return 2
        text = self.text
        rows = text.count("\n") + len(text) // max(1, width)
        return 3 + rows + bool(self.entry.note)

    @property
    def starts(self) -> list[int]:
        """The first row of each block within the item, and the end."""
        if self._starts is None:
            self._starts = list(accumulate(self.heights, initial=0))
        return self._starts

    def measured(self, index: int, height: int) -> bool:
        """Correct a block's height; whether it was another."""
        if self.heights[index] == height:
            return False
        self.height += height - self.heights[index]
        self.heights[index] = height
        self._starts = None
        return True


class TranscriptLayout:
    """All items one under the other, at a width."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._index: dict[int, int] = {}
        self._starts: list[int] | None = None
        self._width = 80
        self._cached: OrderedDict[Block, list[Row]] = OrderedDict()
        self._cached_rows = 0

    # What it holds

    def __contains__(self, key: int) -> bool:
        return key in self._index

    def index_of(self, key: int) -> int:
        """Where an entry stands. Raises KeyError."""
        return self._index[key]

    def item(self, key: int) -> Item:
        """The item of a key. Raises KeyError."""
        return self.items[self._index[key]]

    def replace_from(self, index: int, entries: Iterable[Entry]) -> None:
        """Drop the items from an index on, and put others there."""
        for item in self.items[index:]:
            del self._index[item.entry.key]
        del self.items[index:]
        for entry in entries:
            if entry.key in self._index:
                raise ValueError(f"There is an entry with the key {entry.key} already.")
            self._index[entry.key] = len(self.items)
            item = Item(entry)
            item.height = item.estimate(self._width)
            self.items.append(item)
        self._starts = None

    @property
    def width(self) -> int:
        """How many cells a row of text has."""
        return self._width

    def set_width(self, width: int, keep: Sequence[int] = ()) -> None:
        """Forget all heights; the items with these indexes keep their blocks."""
        self._width = width
        self.forget_rows()
        for index, item in enumerate(self.items):
            if index in keep and item.blocks is not None:
                for at, block in enumerate(item.blocks):
                    item.measured(at, block.estimate(width))
            else:
                item.forget()
                item.height = item.estimate(width)
        self._starts = None

    def forget_rows(self) -> None:
        """Drop everything rendered."""
        self._cached.clear()
        self._cached_rows = 0

    def resized(self) -> None:
        """An item has another height now."""
        self._starts = None

    # Where things stand

    @property
    def rows(self) -> int:
        """How many rows there are, partly estimated."""
        return self.starts[-1]

    @property
    def starts(self) -> list[int]:
        """The first row of each item, and the end."""
        if self._starts is None:
            self._starts = list(accumulate((item.height for item in self.items), initial=0))
        return self._starts

    def locate(self, row: int) -> Place:
        """What stands at a row; the item is split for it."""
        index = min(bisect_right(self.starts, row) - 1, len(self.items) - 1)
        item = self.items[index]
        within = row - self.starts[index]
        if item.blocks is None:
            share = within / max(1, item.height)
            item.split(self._width)
            self._starts = None
            within = int(share * item.height)
        block = min(bisect_right(item.starts, within) - 1, len(item.heights) - 1)
        return Place(index, block, within - item.starts[block])

    def row_of(self, place: Place) -> int:
        """The row of a place."""
        item = self.items[place.item]
        row = self.starts[place.item]
        return row if item.blocks is None else row + item.starts[place.block] + place.row

    def place_in(self, index: int, row: int, fresh: int) -> Place:
        """The place of a row of an item of which the blocks from `fresh` on are new."""
        blocks = self.blocks_of(index)
        item = self.items[index]
        at = min(fresh, len(blocks) - 1)
        left = row - item.starts[at]
        while left >= (height := self._measure_block(index, at)) and at + 1 < len(blocks):
            left -= height
            at += 1
        return Place(index, at, max(0, left))

    def letters_above(self, place: Place) -> int:
        """How much text of its block stands above a place; it is the same at any width."""
        rows = self.block_rows(self.block_at(place))[: place.row]
        return sum(len(row.text.replace(" ", "")) for row in rows)

    def below_letters(self, place: Place, letters: int) -> Place:
        """The row of a block that has so much text above it."""
        rows = self.block_rows(self.block_at(place))
        row = 0
        while row + 1 < len(rows) and letters >= len(rows[row].text.replace(" ", "")):
            letters -= len(rows[row].text.replace(" ", ""))
            row += 1
        return place._replace(row=row)

    def measure(self, place: Place, above: int, below: int) -> Place:
        """Measure so many rows around a place; the place, within its block's real height."""
        item, block, row = place
        block = min(block, len(self.blocks_of(item)) - 1)
        height = self._measure_block(item, block)
        row = min(row, max(0, height - 1))
        seen = height - row
        at = (item, block)
        while seen < below and (next_at := self._after(*at)) is not None:
            seen += self._measure_block(*next_at)
            at = next_at
        seen, at = row, (item, block)
        while seen < above and (next_at := self._before(*at)) is not None:
            seen += self._measure_block(*next_at)
            at = next_at
        return Place(item, block, row)

    def last_place(self) -> Place:
        """The last row."""
        index = len(self.items) - 1
        self.blocks_of(index)
        last = len(self.blocks_of(index)) - 1
        height = self._measure_block(index, last)
        return Place(index, last, max(0, height - 1))

    def _after(self, item: int, block: int) -> tuple[int, int] | None:
        if block + 1 < len(self.blocks_of(item)):
            return item, block + 1
        return (item + 1, 0) if item + 1 < len(self.items) else None

    def _before(self, item: int, block: int) -> tuple[int, int] | None:
        if block:
            return item, block - 1
        return (item - 1, len(self.blocks_of(item - 1)) - 1) if item else None

    def blocks_of(self, index: int) -> list[Block]:
        """The blocks of an item, made when they are not there."""
        item = self.items[index]
        if item.blocks is None:
            item.split(self._width)
            self._starts = None
        assert item.blocks is not None
        return item.blocks

    def _measure_block(self, index: int, at: int) -> int:
        height = len(self.block_rows(self.blocks_of(index)[at]))
        if self.items[index].measured(at, height):
            self._starts = None
        return height

    # What is there

    def block_at(self, place: Place) -> Block:
        """The block at a place."""
        return self.blocks_of(place.item)[place.block]

    def block_rows(self, block: Block) -> list[Row]:
        """The rows of a block, rendered when they are not kept."""
        rows = self._cached.get(block)
        if rows is not None:
            self._cached.move_to_end(block)
            return rows
        rows = self._cached[block] = rows_of(block, self._width)
        self._cached_rows += len(rows)
        while self._cached_rows > ROWS_KEPT and len(self._cached) > 1:
            _, dropped = self._cached.popitem(last=False)
            self._cached_rows -= len(dropped)
        return rows
