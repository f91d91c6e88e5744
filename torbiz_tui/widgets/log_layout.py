"""Which rows of which lines are in view, without ever knowing how many rows there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.views import LineView
from torbiz_tui.widgets.log_text import ShownLine, ShownLines, key_of

_TRIES = 3


class Row(NamedTuple):
    """A row of the screen: which row of which line it is."""

    at: int
    line: RawLine
    shown: ShownLine
    part: int


class LogLayout:
    """The place of a page in a view: a line, and the row of it that stands first.

    Everything costs as much as a page of lines. The line is remembered by its place in its file, so
    it stays first while others are found before it or added.
    """

    def __init__(self) -> None:
        self.view: LineView | None = None
        self.width = 80
        self.height = 1
        self.wrapped = True
        self.following = True
        self.top: RawLine | None = None
        self.top_row = 0
        self.index = 0
        self.lines = ShownLines()
        self._page: list[Row] | None = None
        self._last_page = 1
        self._last_page_cut = False

    @property
    def count(self) -> int:
        """How many lines there are."""
        return 0 if self.view is None else self.view.count

    @property
    def line_width(self) -> int:
        """Where lines are broken; 0 for not at all."""
        return self.width if self.wrapped else 0

    @property
    def steps(self) -> int:
        """How far the page can go down, in lines; an estimate while it is not at the end."""
        return max(0, self.count - self._last_page) + self._last_page_cut

    @property
    def at_end(self) -> bool:
        """Whether the last row is in view."""
        page = self.page()
        if not page:
            return True
        last = page[-1]
        return last.at >= self.count - 1 and (last.part == last.shown.rows(self.line_width) - 1)

    def show(self, view: LineView | None) -> None:
        """Begin with another view, at its end."""
        self.view = view
        self.lines.clear()
        self.following = True
        self.look()

    def look(self) -> None:
        """The view has changed: find the page again."""
        self._page = None
        if self.following or self.top is None:
            self.to_end()
            return
        self._resolve()
        if len(self.page()) < self.height:
            # What followed is gone.
            self.to_end()

    def _resolve(self) -> None:
        if self.view is None or self.top is None:
            return
        self.index = min(self.view.index_of(self.top), max(0, self.count - 1))

    # Moving

    def to_end(self) -> None:
        """Show the last rows."""
        self._page = None
        index, row = self._last_place()
        self._set(index, row)

    def to(self, index: int, row: int = 0, *, clamp: bool = True) -> None:
        """Show a line first, from one of its rows on; `clamp`: no further than to the end."""
        self._page = None
        index = max(0, min(index, self.count - 1))
        if clamp and index >= max(0, self.count - self.height):
            index, row = min((index, row), self._last_place())
        self._set(index, row)

    def move(self, rows: int) -> None:
        """Go down, or up, by so many rows, to the ends at most."""
        if self.view is None or self.top is None:
            return
        self._resolve()
        index, row = self.index, self.top_row + rows
        if row < 0:
            for line in self._before(index, -row):
                index -= 1
                row += self.lines.get(line).rows(self.line_width)
                if row >= 0:
                    break
            self.to(index, max(0, row), clamp=False)
            return
        for line in self.view.lines(index, row + 1):
            height = self.lines.get(line).rows(self.line_width)
            if row < height:
                break
            row -= height
            index += 1
        else:
            self.to_end()
            return
        self.to(index, row)

    def _set(self, index: int, row: int) -> None:
        line = self._line(index)
        self.top, self.index = line, index
        self.top_row = 0
        if line is not None:
            self.top_row = min(row, self.lines.get(line).rows(self.line_width) - 1)

    def _last_place(self) -> tuple[int, int]:
        """Where the last page begins."""
        count, left = self.count, self.height
        index = count
        for line in self._before(count, self.height):
            index -= 1
            rows = self.lines.get(line).rows(self.line_width)
            if rows >= left:
                self._last_page = count - index
                self._last_page_cut = rows > left
                return index, rows - left
            left -= rows
        self._last_page, self._last_page_cut = max(1, count - index), False
        return max(0, index), 0

    def _before(self, index: int, count: int) -> Iterator[RawLine]:
        """The lines before an index, the last first."""
        if self.view is not None:
            first = max(0, index - count)
            yield from reversed(self.view.lines(first, index - first))

    def _line(self, index: int) -> RawLine | None:
        found = [] if self.view is None else self.view.lines(index, 1)
        return found[0] if found else None

    # What is in view

    def page(self) -> list[Row]:
        """The rows in view."""
        if self._page is None:
            self._page = self._make_page()
        return self._page

    def _make_page(self) -> list[Row]:
        view = self.view
        if view is None or self.top is None:
            return []
        raw = view.lines(self.index, self.height)
        for _ in range(_TRIES):
            # A thread may find older lines at any moment.
            if raw and key_of(raw[0]) == key_of(self.top):
                break
            self._resolve()
            raw = view.lines(self.index, self.height)
        else:
            # That line is gone.
            self.top_row = 0
            self.top = raw[0] if raw else None
        rows: list[Row] = []
        shown_lines: list[RawLine] = []
        part = self.top_row
        for index, line in enumerate(raw, self.index):
            shown = self.lines.get(line)
            shown_lines.append(line)
            height = shown.rows(self.line_width)
            part = min(part, height - 1)
            while part < height and len(rows) < self.height:
                rows.append(Row(index, line, shown, part))
                part += 1
            part = 0
            if len(rows) >= self.height:
                break
        self.lines.set_levels(shown_lines, lambda count: self._before(self.index, count))
        return rows

    def resize(self, width: int, height: int, *, wrapped: bool) -> None:
        """Break lines at another width; the first character in view stays in the first row."""
        character = 0
        if self.top is not None:
            character = self.lines.get(self.top).piece(self.line_width, self.top_row)[0]
        self.width, self.height, self.wrapped = max(1, width), max(1, height), wrapped
        self._page = None
        if self.following or self.top is None:
            self.to_end()
        else:
            row = self.lines.get(self.top).row_at(self.line_width, character)
            self.to(self.index, row)
