"""Lines that stand in no file, for the panes that show files."""

from __future__ import annotations

from collections.abc import Iterable

from torbiz_tui.logs.log_file import RawLine


class MemoryView:
    """At most `limit` lines (a `LineView`); the oldest go when there are more.

    One thread adds to it, others may read it meanwhile.
    """

    complete = True
    progress = 1.0

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        # In one piece, for other threads: the number of the first line, and the lines.
        self._kept: tuple[int, list[bytes]] = (0, [])
        self._version = 0
        self._changed = False

    @property
    def count(self) -> int:
        """How many lines are kept."""
        return len(self._kept[1])

    @property
    def version(self) -> int:
        """Changes when lines went."""
        return self._version

    def append(self, lines: Iterable[str]) -> None:
        """Add lines, without their ends."""
        first, kept = self._kept
        before = len(kept)
        kept.extend(line.encode("utf-8", "replace") for line in lines)
        self._changed |= len(kept) > before
        if len(kept) > self._limit:
            # More than needed at once: cutting the front of a list costs as much as its rest.
            surplus = len(kept) - self._limit + self._limit // 10
            self._kept = (first + surplus, kept[surplus:])
            self._version += 1

    def clear(self) -> None:
        """Forget all lines."""
        first, kept = self._kept
        if kept:
            self._kept = (first + len(kept), [])
            self._version += 1
            self._changed = True

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        begin, kept = self._kept
        first = max(0, first)
        return [
            RawLine(None, begin + index, data, len(data))
            for index, data in enumerate(kept[first : first + max(0, count)], first)
        ]

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""
        begin, kept = self._kept
        return min(max(0, line.offset - begin), len(kept))

    def whole(self, line: RawLine, limit: int = 2**20) -> bytes:
        """All bytes of a line, `limit` at most."""
        return line.data[:limit]

    def look(self) -> bool:
        """Whether anything changed since the last look."""
        changed, self._changed = self._changed, False
        return changed

    def close(self) -> None:
        """Nothing runs here."""
