"""The lines of a log that a person wants to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.log_series import LogSeries


@dataclass(frozen=True)
class Filter:
    """What a line has to be. What is empty or None does not matter.

    `text` is looked for as it is, or as a regular expression; case matters only if it has a
    capital. `levels` are names of `parsing.LEVELS`; `sources` are log sources' names or the
    beginnings of loggers' names. A traceback is one with its line: it is in with all its lines, if
    its level and time fit and any of its lines has the text. Lines that tell no time count as of
    the line before.

    Raises TorbizError (code `bad_pattern`) when the regular expression is none.
    """

    text: str = ""
    regex: bool = False
    levels: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether every line fits."""
        return self == Filter()


def levels_from(lowest: str) -> frozenset[str]:
    """A level and those above it. Raises KeyError for a name that is none."""
    raise NotImplementedError


class LineFilter:
    """A filter for lines as they come, of one source."""

    def __init__(self, wanted: Filter, source: str = "") -> None:
        self._wanted = wanted

    def feed(self, lines: Sequence[str]) -> list[str]:
        """Those of the lines that fit; a traceback may come in several pieces."""
        raise NotImplementedError


class FilteredView:
    """The fitting lines of a log (a `LineView`), found by a thread from the end backwards.

    What is written meanwhile is added at the end. A hit takes 8 bytes.
    """

    def __init__(
        self,
        series: LogSeries,
        wanted: Filter,
        *,
        source: str = "",
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """Begin to look; `on_change` is called in the thread, ten times a second at most."""
        self.series = series
        self.wanted = wanted

    @property
    def count(self) -> int:
        """How many lines were found so far."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether everything that is there was looked at."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """How much was looked at, 0 to 1."""
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
        """End the search."""
        raise NotImplementedError
