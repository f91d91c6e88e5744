"""The lines of a log as they are shown: text, level and rows, kept only for those in view."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from operator import itemgetter

from rich.cells import cell_len, chop_cells

from torbiz_tui.logs.decoding import shown_line
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.parsing import Folding, continuation, has_head, parse
from torbiz_tui.logs.query import Query
from torbiz_tui.troubleshooting.symptom import Symptom

_LINES_KEPT = 1000
_CHARACTERS_KEPT = 4_000_000
_TAB = 8
# So far back the beginning of a traceback is looked for.
_LINES_BACK = 100

Key = tuple[int, int]


def key_of(line: RawLine) -> Key:
    """What tells a line from all others of its view."""
    return line.source, line.place


class ShownLine:
    """A line made safe, and how it is broken into rows at one width."""

    def __init__(self, line: RawLine) -> None:
        self.source = shown_line(line.data)
        self.text = self.source.expandtabs(_TAB)
        left_out = line.length - len(line.data)
        if left_out > 0:
            self.text += f"… ({left_out:,} more bytes)"
        parsed = parse(self.source)
        self.own_level = parsed.level
        self.level = parsed.level
        # Where the message begins; tabs before it are rare, and only shades depend on it.
        self.message_at = min(parsed.message_at, len(self.text))
        self.headed = has_head(self.source)
        self.symptom: Symptom | None = None
        self.examined = False
        self._query: Query | None = None
        self._matches: list[tuple[int, int]] = []
        self._ascii = self.text.isascii()
        self._cells = -1
        self._width = 0
        self._starts: list[int] = []

    @property
    def cells(self) -> int:
        """How wide it is."""
        if self._cells < 0:
            self._cells = len(self.text) if self._ascii else cell_len(self.text)
        return self._cells

    @property
    def one_cell_each(self) -> bool:
        """Whether every character takes one cell."""
        return self._ascii

    def rows(self, width: int) -> int:
        """How many rows it takes; one where lines are not broken (width 0)."""
        if not width:
            return 1
        if self._ascii:
            return max(1, -(-len(self.text) // width))
        return len(self._cuts(width))

    def piece(self, width: int, row: int) -> tuple[int, str]:
        """Where the text of a row begins, and the text."""
        if not width:
            return 0, self.text
        if self._ascii:
            return row * width, self.text[row * width : (row + 1) * width]
        starts = self._cuts(width)
        end = starts[row + 1] if row + 1 < len(starts) else len(self.text)
        return starts[row], self.text[starts[row] : end]

    def row_at(self, width: int, character: int) -> int:
        """The row that a character is in."""
        if not width:
            return 0
        if self._ascii:
            return min(character // width, self.rows(width) - 1)
        return max(0, sum(start <= character for start in self._cuts(width)) - 1)

    def matches(self, query: Query, start: int, end: int) -> list[tuple[int, int]]:
        """Where a query stands in a part of it."""
        if self._query is not query:
            self._query, self._matches = query, query.spans(self.text)
        # They do not overlap, so both their beginnings and their ends grow.
        first = bisect_right(self._matches, start, key=itemgetter(1))
        return self._matches[first : bisect_left(self._matches, end, key=itemgetter(0))]

    def _cuts(self, width: int) -> list[int]:
        if width != self._width:
            pieces = chop_cells(self.text, width)
            self._width = width
            self._starts = [0, *accumulate(map(len, pieces[:-1]))]
        return self._starts


class ShownLines:
    """The lines that were shown last, at most 1,000 of them and 4 million characters."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int], ShownLine] = {}
        self._characters = 0

    def get(self, line: RawLine) -> ShownLine:
        """The line as it is shown."""
        key = (line.source, line.place, line.length)
        shown = self._kept.pop(key, None)
        if shown is None:
            shown = ShownLine(line)
            self._characters += len(shown.text)
            while self._kept and (
                len(self._kept) >= _LINES_KEPT or self._characters > _CHARACTERS_KEPT
            ):
                oldest = self._kept.pop(next(iter(self._kept)))
                self._characters -= len(oldest.text)
        self._kept[key] = shown
        return shown

    def clear(self) -> None:
        """Forget all: they are of another log."""
        self._kept.clear()
        self._characters = 0

    def set_levels(
        self, lines: Iterable[RawLine], before: Callable[[int], Iterable[RawLine]]
    ) -> None:
        """Give lines that go on with others the level of the line they belong to.

        `before` gives that many of the lines before them, the last first.
        """
        shown = [self.get(line) for line in lines]
        if not shown:
            return
        folding = Folding()
        level = ""
        for one in [*self._begun(shown[0], before), *shown]:
            if not folding.continues(one.source):
                level = ""
            level = level or one.own_level
            one.level = level

    def _begun(
        self, first: ShownLine, before: Callable[[int], Iterable[RawLine]]
    ) -> list[ShownLine]:
        """The lines before one that may begin the record it belongs to, in their order."""
        found: list[ShownLine] = []
        if first.headed or not _may_continue(first.source):
            previous = next(iter(before(1)), None)
            if first.headed or previous is None:
                return found
            if not self.get(previous).source.startswith((" ", "\t")):
                return found
        for line in before(_LINES_BACK):
            one = self.get(line)
            found.append(one)
            if one.headed:
                break
        return found[::-1]


def _may_continue(text: str) -> bool:
    return not text.strip() or continuation(text)
