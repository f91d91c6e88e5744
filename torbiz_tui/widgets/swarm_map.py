"""The map of a swarm: its picture above, the table of servers below, as one text to scroll."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from torbiz_tui.swarm_map.picture import picture
from torbiz_tui.swarm_map.rows import Row
from torbiz_tui.swarm_map.snapshot import Snapshot
from torbiz_tui.swarm_map.table import ORDERS, table
from torbiz_tui.widgets import keys

# A sign of its own tells each state; colour only helps.
_STYLES = {
    "head": "bold",
    "good": "$text-success",
    "thin": "$text-warning",
    "bad": "$text-error",
    "joining": "$text-accent",
    "offline": "$foreground-muted",
    "own": "bold $text-primary",
    "dim": "$foreground-muted",
}
_NARROWEST = 40


class SwarmMap(VerticalScroll):
    """Shows the last snapshot, drawn for the width it has; it stays where it was scrolled to."""

    BINDINGS = [*keys.SWARM_READING]
    DEFAULT_CSS = """
    SwarmMap { scrollbar-size-vertical: 1; }
    SwarmMap > Static { width: 1fr; height: auto; text-wrap: nowrap; text-overflow: clip; }
    """

    class Sorted(Message):
        """The table is sorted by something else, one of ORDERS."""

        def __init__(self, order: str) -> None:
            super().__init__()
            self.order = order

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None
        self._stale = False
        self._find = ""
        self._order = ORDERS[0]
        self._table_at = 0

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(markup=False)

    def show(self, snapshot: Snapshot, *, stale: bool = False) -> None:
        """Show another look; a `stale` one in grey."""
        self._snapshot, self._stale = snapshot, stale
        self._draw()

    def grow_stale(self) -> None:
        """What is shown is not how it is now."""
        self._stale = True
        self._draw()

    def find(self, text: str) -> None:
        """Leave only the servers in the table that are meant; an empty text brings all back."""
        if text.strip() != self._find:
            self._find = text.strip()
            self._draw()
            self.action_top()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def _draw(self) -> None:
        if self._snapshot is None:
            return
        # The scroll bar takes a column when the text is higher than the room.
        width = max(_NARROWEST, self.content_size.width - self.styles.scrollbar_size_vertical)
        lanes = max(6, self.size.height // 2)
        if self._find:
            # What was found stands in the table, which should be in sight.
            lanes = 3
        rows = [*picture(self._snapshot, width, most_lanes=lanes, find=self._find), ()]
        self._table_at = len(rows)
        rows += table(self._snapshot, width, find=self._find, order=self._order)
        self.query_one(Static).update(_content(rows, stale=self._stale))

    def action_page(self, direction: int) -> None:
        """A page down (1) or up (-1)."""
        if direction > 0:
            self.scroll_page_down(animate=False)
        else:
            self.scroll_page_up(animate=False)

    def action_line(self, direction: int) -> None:
        """A row down (1) or up (-1)."""
        self.scroll_relative(y=direction, animate=False)

    def action_top(self) -> None:
        """To the picture."""
        self.scroll_home(animate=False)

    def action_table(self) -> None:
        """To the table of servers."""
        self.scroll_to(y=self._table_at, animate=False)

    def action_order(self) -> None:
        """Sort the table by something else."""
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        self._draw()
        self.action_table()
        self.post_message(self.Sorted(self._order))

    def action_end(self) -> None:
        """To the last server."""
        self.scroll_end(animate=False)


def _content(rows: Sequence[Row], *, stale: bool) -> Content:
    styles = (
        dict.fromkeys(_STYLES, "$foreground-muted") | {"": "$foreground-muted"}
        if stale
        else _STYLES
    )
    lines = [
        Content.assemble(*((text, styles.get(style, "")) for text, style in row)) for row in rows
    ]
    return Content("\n").join(lines)
