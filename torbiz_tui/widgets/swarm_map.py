"""The map of a swarm: its picture above, the table of servers below, as one text to scroll."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from torbiz_tui.swarm_map.picture import picture
from torbiz_tui.swarm_map.rows import Row
from torbiz_tui.swarm_map.snapshot import Snapshot
from torbiz_tui.swarm_map.table import table
from torbiz_tui.widgets import keys

# A sign of its own tells each state; colour only helps.
_STYLES = {
    "head": "bold",
    "good": "$text-success",
    "thin": "$text-warning",
    "bad": "$text-error",
    "joining": "$text-accent",
    "offline": "$text-muted",
    "own": "bold $text-primary",
    "dim": "$text-muted",
}
_NARROWEST = 40


class SwarmMap(VerticalScroll):
    """Shows the last snapshot, drawn for the width it has; it stays where it was scrolled to."""

    BINDINGS = [*keys.SWARM_READING]
    DEFAULT_CSS = """
    SwarmMap { scrollbar-size-vertical: 1; }
    SwarmMap > Static { width: 1fr; height: auto; text-wrap: nowrap; text-overflow: clip; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(markup=False)

    def show(self, snapshot: Snapshot) -> None:
        """Show another look."""
        self._snapshot = snapshot
        self._draw()

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def _draw(self) -> None:
        if self._snapshot is None:
            return
        # The scroll bar takes a column when the text is higher than the room.
        width = max(_NARROWEST, self.content_size.width - self.styles.scrollbar_size_vertical)
        lanes = max(6, self.size.height // 2)
        rows = [
            *picture(self._snapshot, width, most_lanes=lanes),
            (),
            *table(self._snapshot, width),
        ]
        self.query_one(Static).update(_content(rows))

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

    def action_end(self) -> None:
        """To the last server."""
        self.scroll_end(animate=False)


def _content(rows: Sequence[Row]) -> Content:
    lines = [
        Content.assemble(*((text, _STYLES.get(style, "")) for text, style in row)) for row in rows
    ]
    return Content("\n").join(lines)
