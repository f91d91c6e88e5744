"""What comes after a line of a view: all that a cleared pane shows."""

from __future__ import annotations

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.views import LineView


class ClearedView:
    """The lines of a view that come after one of them (a `LineView`); the view stays as it is."""

    def __init__(self, view: LineView, after: RawLine) -> None:
        self.view = view
        self._after = after

    @property
    def _first(self) -> int:
        index = self.view.index_of(self._after)
        here = self.view.lines(index, 1)
        return index + bool(here and _same(here[0], self._after))

    @property
    def count(self) -> int:
        """How many lines have come."""
        return max(0, self.view.count - self._first)

    @property
    def complete(self) -> bool:
        """They are known from their beginning on."""
        return True

    @property
    def progress(self) -> float:
        """All of them are known."""
        return 1.0

    @property
    def version(self) -> int:
        """Changes when lines of the view came before others, or went."""
        return self.view.version

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        if first < 0:
            first, count = 0, count + first
        return self.view.lines(self._first + first, count)

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""
        return max(0, self.view.index_of(line) - self._first)

    def whole(self, line: RawLine, limit: int = 2**20) -> bytes:
        """All bytes of a line, `limit` at most."""
        return self.view.whole(line, limit)

    def look(self) -> bool:
        """Take in what has come; whether anything changed."""
        return self.view.look()

    def close(self) -> None:
        """Nothing runs here; the view stays open."""


def _same(one: RawLine, other: RawLine) -> bool:
    return one.place == other.place and one.source == other.source
