"""Known symptoms in the last lines of the logs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from torbiz_tui.logs.following import read_lines, tail_offset
from torbiz_tui.logs.parsing import parse
from torbiz_tui.logs.sources import LogSource
from torbiz_tui.troubleshooting.matching import evidence, explanation, match, place_of
from torbiz_tui.troubleshooting.symptom import Explanation, Machine

LINES_LOOKED_AT = 200


@dataclass(frozen=True)
class Finding:
    """A symptom and the log (its name) that shows it; its line is safe to show."""

    log: str
    explanation: Explanation


def findings(
    sources: Sequence[LogSource],
    machine: Machine | None = None,
    *,
    lines: int = LINES_LOOKED_AT,
) -> list[Finding]:
    """The symptoms in the last `lines` lines of each log, the newest first, each once.

    A line without a time has that of the one before it, or of the file. What Setup checks itself is
    left out, since a log only says how that was. Reads the files; a log that cannot be read has
    nothing.
    """
    found: dict[str, tuple[float, Finding]] = {}
    for source in sources:
        place = place_of(source.name)
        last = read_lines(source.file, tail_offset(source.file, lines))
        times = _times(source, last)
        for line, written_at in zip(reversed(last), reversed(times), strict=True):
            symptom = match(line, place)
            if symptom is None or symptom.in_setup:
                continue
            if symptom.id in found and found[symptom.id][0] >= written_at:
                continue
            told = explanation(symptom, evidence(line), machine)
            found[symptom.id] = (written_at, Finding(source.name, told))
    newest_first = sorted(found.values(), key=lambda one: one[0], reverse=True)
    return [finding for _, finding in newest_first]


def _times(source: LogSource, lines: Sequence[str]) -> list[float]:
    """When each line was written, in seconds since the epoch, as far as the log tells."""
    stamps = [parse(line).time for line in lines]
    known = [stamp for stamp in stamps if stamp is not None]
    current = known[0].timestamp() if known else _last_written(source)
    times = []
    for stamp in stamps:
        current = current if stamp is None else stamp.timestamp()
        times.append(current)
    return times


def _last_written(source: LogSource) -> float:
    with suppress(OSError):
        return source.file.stat().st_mtime
    return 0.0
