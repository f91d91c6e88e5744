"""The lines of a log pane: bounded, made safe, and mapped to the rows of the screen."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells

from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line

LONGEST_SHOWN = 10_000
_LEVEL = re.compile(r"\b(?:(CRITICAL|FATAL|ERROR|Traceback)|(WARN(?:ING)?))\b")


def presentable(raw: str) -> str:
    """A line of a file as it may be shown: no escapes, no tokens, no tabs, not endless."""
    line = redact(sanitize_line(raw)).expandtabs(8)
    if len(line) > LONGEST_SHOWN:
        return f"{line[:LONGEST_SHOWN]}… ({len(line) - LONGEST_SHOWN} more characters)"
    return line


def level_of(line: str) -> str:
    """`error`, `warning` or nothing, by the level's own word in the line."""
    found = _LEVEL.search(line, 0, 200)
    if found is None:
        return ""
    return "error" if found.group(1) else "warning"


class LogLines:
    """At most `limit` lines; `width` is where long ones are broken, 0 for not at all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._width = 0
        self._lines: list[str] = []
        self._starts: list[int] = []
        self._rows = 0
        self._widest = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> str:
        return self._lines[index]

    @property
    def rows(self) -> int:
        """How many rows they take."""
        return self._rows if self._width else len(self._lines)

    @property
    def widest(self) -> int:
        """The cells of the longest line that was ever added since the last clearing."""
        return self._widest

    def rewrap(self, width: int) -> None:
        """Break long lines at another width."""
        self._width = width
        self._starts.clear()
        self._rows = 0
        if width:
            self._place(self._lines)

    def extend(self, raw: Iterable[str]) -> int:
        """Add lines of a file; returns how many rows fell out at the top."""
        added = [presentable(line) for line in raw]
        self._lines += added
        self._widest = max(self._widest, max(map(cell_len, added), default=0))
        if self._width:
            self._place(added)
        return self._trim() if len(self._lines) > self._limit else 0

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()
        self._starts.clear()
        self._rows = self._widest = 0

    def _trim(self) -> int:
        # More than needed at once: cutting the front of a list costs as much as its rest.
        surplus = len(self._lines) - self._limit + self._limit // 10
        rows_before = self.rows
        del self._lines[:surplus]
        if self._width:
            self.rewrap(self._width)
        return rows_before - self.rows

    def _place(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._starts.append(self._rows)
            self._rows += self._height(line)

    def _height(self, line: str) -> int:
        if line.isascii():
            return max(1, -(-len(line) // self._width))
        return max(1, len(chop_cells(line, self._width)))

    def locate(self, row: int) -> tuple[int, int]:
        """The line that a row belongs to, and which of its rows it is."""
        if not self._width:
            return row, 0
        index = bisect_right(self._starts, row) - 1
        return index, row - self._starts[index]

    def row_of(self, index: int) -> int:
        """The first row of a line."""
        return self._starts[index] if self._width else index

    def piece(self, index: int, part: int) -> tuple[int, str]:
        """Where a row's text begins in its line, and the text."""
        line = self._lines[index]
        if not self._width:
            return 0, line
        if line.isascii():
            start = part * self._width
            return start, line[start : start + self._width]
        pieces = chop_cells(line, self._width) or [""]
        return sum(len(piece) for piece in pieces[:part]), pieces[part]

    def text(self) -> str:
        """All lines, for copying."""
        return "\n".join(self._lines)
