"""How `logs` shows lines: as they are, below headings or merged, or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from torbiz_tui.commands.output import someone_reads, write
from torbiz_tui.logs.parsing import Folding, Parsed, parse
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.sources import LogSource
from torbiz_tui.troubleshooting.machine import this_machine
from torbiz_tui.troubleshooting.matching import explain, place_of
from torbiz_tui.troubleshooting.symptom import Explanation

# Of the 16 colours those that can be read on black and on white.
_LEVEL_CODES = {"critical": "1;31", "error": "31", "warning": "33", "debug": "2"}
_NAME_CODES = ("36", "35", "32", "34")
_HEADING_CODE = "1"
_EXPLANATION_CODE = "36"
_MATCH, _MATCH_END = "\x1b[7m", "\x1b[27m"


class Printer(Protocol):
    """Shows lines of a source, which are decoded and without colours."""

    def print(self, source: LogSource, lines: Sequence[str]) -> None:
        """Write them to stdout. Raises OutputClosedError when nobody reads it."""


def wants_colours() -> bool:
    """Whether stdout is a terminal whose person has not asked for no colours (no-color.org)."""
    return someone_reads() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class LinePrinter:
    """Prints lines, where there are several sources with a heading or the name in front."""

    def __init__(
        self,
        sources: Sequence[LogSource],
        *,
        merged: bool,
        colours: bool,
        marked: Query | None = None,
        explaining: bool = False,
    ) -> None:
        several = len(sources) > 1
        self._headings = several and not merged
        self._colours = colours
        self._marked = marked
        self._explaining = explaining
        self._explained: set[str] = set()
        self._last: LogSource | None = None
        self._records = {source.name: _Records() for source in sources}
        self._names: dict[str, str] = {}
        if several and merged:
            width = max(len(source.name) for source in sources)
            self._names = {source.name: f"{source.name.ljust(width)} | " for source in sources}

    def print(self, source: LogSource, lines: Sequence[str]) -> None:
        """Write them, with what is known about them if that was asked for."""
        if not lines:
            return
        shown = list(self._shown(source, lines))
        if self._headings and source is not self._last:
            blank = [""] if self._last is not None else []
            heading = self._coloured(f"==> {source.name} <==", _HEADING_CODE)
            shown = [*blank, heading, *shown]
            self._last = source
        write("".join(f"{line}\n" for line in shown))

    def _shown(self, source: LogSource, lines: Sequence[str]) -> Iterator[str]:
        records = self._records.setdefault(source.name, _Records())
        name = self._names.get(source.name, f"{source.name} | ") if self._names else ""
        if name and self._colours:
            at = list(self._records).index(source.name)
            name = self._coloured(name, _NAME_CODES[at % len(_NAME_CODES)])
        for line in lines:
            clean = redact(sanitize_line(line))
            if self._colours:
                parsed, _ = records.read(line)
                clean = self._coloured(
                    _marked(clean, self._marked), _LEVEL_CODES.get(parsed.level, "")
                )
            yield name + clean
            if self._explaining:
                yield from (name + told for told in self._explanation(source, line))

    def _explanation(self, source: LogSource, line: str) -> Iterator[str]:
        """What is known about a line, the first time in a call."""
        found = explain(line, place_of(source.name), this_machine())
        if found is None or found.symptom.id in self._explained:
            return
        self._explained.add(found.symptom.id)
        for mark, text in (("  ^ ", found.title), ("    ", found.cause), ("    ", found.remedy)):
            if text:
                yield self._coloured(mark + text, _EXPLANATION_CODE)

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if code and self._colours else text


class JsonPrinter:
    """Prints one JSON object a line."""

    def __init__(self, *, explaining: bool = False) -> None:
        self._explaining = explaining
        self._records: dict[str, _Records] = {}

    def print(self, source: LogSource, lines: Sequence[str]) -> None:
        """Write them."""
        if lines:
            write("".join(f"{self._object(source, line)}\n" for line in lines))

    def _object(self, source: LogSource, line: str) -> str:
        parsed, begins = self._records.setdefault(source.name, _Records()).read(line)
        message = line[parsed.message_at :] if begins else line
        fields: dict[str, object] = {
            "time": parsed.time.isoformat() if parsed.time is not None else None,
            "level": parsed.level or None,
            "source": source.name,
            "logger": parsed.source or None,
            "message": redact(sanitize_line(message)),
        }
        if self._explaining:
            found = explain(line, place_of(source.name), this_machine())
            fields["explanation"] = _facts(found) if found is not None else None
        return json.dumps(fields, ensure_ascii=False)


class _Records:
    """Tells what a line says of itself; one that goes on with another has that one's level."""

    def __init__(self) -> None:
        self._folding = Folding()
        self._parsed = Parsed()

    def read(self, line: str) -> tuple[Parsed, bool]:
        """What the record says that a line belongs to, and whether it begins it."""
        begins = not self._folding.continues(line)
        if begins:
            self._parsed = parse(line)
        elif not self._parsed.level and parse(line).level == "error":
            # A traceback below a line without a level.
            self._parsed = self._parsed._replace(level="error")
        return self._parsed, begins


def _marked(shown: str, query: Query | None) -> str:
    """A line with what was looked for in reverse."""
    if query is None:
        return shown
    pieces: list[str] = []
    at = 0
    for start, end in query.spans(shown):
        pieces += [shown[at:start], _MATCH, shown[start:end], _MATCH_END]
        at = end
    return "".join([*pieces, shown[at:]])


def _facts(found: Explanation) -> dict[str, object]:
    return {
        "id": found.symptom.id,
        "severity": found.symptom.severity.value,
        "title": found.title,
        "cause": found.cause,
        "remedy": found.remedy,
        "action": found.action.value,
    }
