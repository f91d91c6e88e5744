"""What lines a person wants to see of a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from torbiz_tui.logs.parsing import LEVELS, Folding, Parsed, parse, without_engine_stamp
from torbiz_tui.logs.query import Query

_HELD_LINES = 1000
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Filter:
    """What a line has to be. What is empty or None does not matter.

    `text` is looked for as it is, or as a regular expression; case matters only if it has a
    capital. `levels` are names of `parsing.LEVELS`; `sources` are log sources' names or loggers'
    names (`server` is also `petals.server.run`), or their beginnings. A traceback is one with its
    line: it is in with all its lines, if its level and time fit and any of its lines has the text.
    Lines that tell no time count as of the line before.

    Raises TorbizError (code `bad_pattern`) when the regular expression is none.
    """

    text: str = ""
    regex: bool = False
    levels: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        self.query()

    @property
    def empty(self) -> bool:
        """Whether every line fits."""
        return self == Filter()

    @property
    def needs_parsing(self) -> bool:
        """Whether it asks for more than a text."""
        return bool(self.levels or self.sources or self.since or self.until)

    def query(self) -> Query | None:
        """What its text looks for; None when it has none."""
        return Query(self.text, regex=self.regex) if self.text else None

    def fits(self, parsed: Parsed, source: str) -> bool:
        """Whether a line fits by what it says of itself; its text is not looked at."""
        if self.levels and parsed.level not in self.levels:
            return False
        if self.sources and not (
            source in self.sources
            or any(f".{name}" in f".{parsed.source}" for name in self.sources)
        ):
            return False
        if parsed.time is None:
            return True
        return not (
            (self.since is not None and parsed.time < self.since)
            or (self.until is not None and parsed.time > self.until)
        )


def levels_from(lowest: str) -> frozenset[str]:
    """A level and those above it. Raises ValueError for a name that is none."""
    return frozenset(LEVELS[LEVELS.index(lowest) :])


def parse_record(lines: Sequence[str]) -> Parsed:
    """What a line says of itself, with all that was folded into it: a bare traceback is an error."""
    parsed = parse(lines[0])
    if not parsed.level and any(map(_begins_traceback, lines)):
        return parsed._replace(level="error")
    return parsed


def _begins_traceback(line: str) -> bool:
    return without_engine_stamp(line).startswith(_TRACEBACK)


class LineFilter:
    """A filter for lines as they come, of one source.

    `time` is that of the line before the first one.
    """

    def __init__(self, wanted: Filter, source: str = "", *, time: datetime | None = None) -> None:
        self._wanted = wanted
        self._source = source
        self._query = wanted.query()
        self._folding = Folding()
        self._last_time = time
        # Lines of a traceback that fits but for its text, which may follow.
        self._held: list[str] = []
        self._fits = self._fits_as_error = False
        self._has_text = False
        self._in = False

    def feed(self, lines: Sequence[str]) -> list[str]:
        """Those of the lines that fit; a traceback may come in several pieces.

        `lines` are decoded and without colours.
        """
        if self._wanted.empty:
            return list(lines)
        found: list[str] = []
        for line in lines:
            if not self._folding.continues(line):
                self._begin(line)
            elif _begins_traceback(line):
                # What began without a level has got one.
                self._fits = self._fits or self._fits_as_error
            if self._in:
                found.append(line)
                continue
            if not (self._fits or self._fits_as_error):
                continue
            self._held.append(line)
            del self._held[:-_HELD_LINES]
            self._has_text = self._has_text or self._matches(line)
            if self._fits and self._has_text:
                self._in = True
                found += self._held
                self._held.clear()
        return found

    def _begin(self, line: str) -> None:
        self._held.clear()
        self._in = self._has_text = False
        self._fits, self._fits_as_error = True, False
        if self._wanted.needs_parsing:
            parsed = parse(line)
            self._last_time = parsed.time or self._last_time
            parsed = parsed._replace(time=self._last_time)
            self._fits = self._wanted.fits(parsed, self._source)
            self._fits_as_error = not parsed.level and self._wanted.fits(
                parsed._replace(level="error"), self._source
            )

    def _matches(self, line: str) -> bool:
        return self._query is None or self._query.matches_text(line)


# At least one of these stands in every line of a level; the last ones are of glog (E1124 …).
_SIGNS: dict[str, tuple[bytes, ...]] = {
    "warning": (b"WARN", b"arning", b"warn", b"Warn", b"W0", b"W1"),
    "error": (
        *(b"ERR", b"rror", b'"err"', b"xception", b"EXCEPTION", b"raceback", b"Interrupt"),
        *(b"Exit", b"Killed", b"Aborted", b"Segmentation", b"E0", b"E1"),
    ),
    "critical": (
        *(b"CRIT", b"crit", b"Crit", b"FATAL", b"atal", b"PANIC", b"anic", b"EMERG", b"merg"),
        *(b"ALERT", b"lert", b"F0", b"F1"),
    ),
}


def signs_of(levels: frozenset[str]) -> tuple[bytes, ...]:
    """What to look for in lines of these levels; empty when any line may be of one of them."""
    if not levels or not levels <= set(_SIGNS):
        return ()
    return tuple(sign for level in sorted(levels) for sign in _SIGNS[level])
