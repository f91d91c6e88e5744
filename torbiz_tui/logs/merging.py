"""Several logs as one, by the time of their lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.log_series import LogSeries


class LineMerger:
    """Merges lines as they come: holds them for a moment, so that the sources can catch up.

    Lines that tell no time stay behind the line before them in their source; lines of the same
    time keep the order of the sources.
    """

    def __init__(self, sources: Sequence[str], *, hold_s: float = 0.3) -> None:
        self.sources = tuple(sources)

    def add(self, source: str, lines: Sequence[str]) -> None:
        """Take in lines of a source, decoded and without colours."""
        raise NotImplementedError

    def ready(self, *, everything: bool = False) -> list[tuple[str, str]]:
        """Source and line of what has been held long enough, or of all there is."""
        raise NotImplementedError


class MergedView:
    """The lines of several logs by time (a `LineView`), merged from the end backwards on demand.

    `lines` have `source` set to the index in `names`. What is not reached yet is merged in the
    background, up to `limit` lines; `complete` is false if there is more.
    """

    def __init__(
        self,
        logs: Mapping[str, LogSeries],
        wanted: Filter | None = None,
        *,
        limit: int = 1_000_000,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.names = tuple(logs)

    @property
    def count(self) -> int:
        """How many lines were merged so far."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether the lines at the beginning are among them."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """How much was merged, 0 to 1."""
        raise NotImplementedError

    @property
    def version(self) -> int:
        """Grows when lines came before others, or went."""
        raise NotImplementedError

    def lines(self, first: int, count: int) -> list[RawLine]:
        """Lines by index; fewer where there are no more."""
        raise NotImplementedError

    def index_of(self, line: RawLine) -> int:
        """Where that line stands now; if it is not here, the first line after it."""
        raise NotImplementedError

    def look(self) -> bool:
        """Take in what has come; whether anything changed."""
        raise NotImplementedError

    def close(self) -> None:
        """End what runs in the background."""
        raise NotImplementedError
