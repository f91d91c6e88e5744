"""The text of a message cut into blocks that are rendered each on its own."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.widgets.styled_rows import Row, plain_rows, wrapped


@dataclass(eq=False, slots=True)
class Block:
    """A piece of a message: its kind, and the source of its text."""

    kind: str
    source: str
    extra: str = ""

    def estimate(self, width: int) -> int:
        """How many rows it takes, guessed."""
        return 1 + self.source.count("\n") + len(self.source) // max(1, width)


class Splitter:
    """Cuts a text that grows; what it has called finished does not change any more."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._finished = 0
        self._tail = ""
        self.count = 0

    def feed(self, text: str) -> tuple[int, list[Block]]:
        """How many blocks stay, and those that come after them."""
        self._tail += text
        kept = self._finished
        blocks = [Block("plain", line) for line in self._tail.split("\n") if self._role != "rule"]
        if not self._tail:
            blocks = []
        if len(blocks) > 1:
            self._tail = blocks[-1].source
            self._finished += len(blocks) - 1
        self.count = kept + len(blocks)
        return kept, blocks


def rows_of(block: Block, width: int) -> list[Row]:
    """A block as rows of at most `width` cells."""
    source = block.source
    if block.kind.startswith("heading-"):
        parts = [(sanitize_line(source), block.kind), (block.extra, "note")]
        return [Row([]), *wrapped(parts, width)]
    if block.kind == "rule":
        title = sanitize_line(source)
        line = f"── {title} " if title else ""
        return [Row([]), Row([((line + "─" * width)[:width], "rule")])]
    if block.kind == "note":
        return wrapped([(sanitize_line(source), "note")], width)
    return plain_rows(sanitize_text(source), width)
