"""What the server's log tells of a download: how far it is, and why it failed.

The lines are those of `download_progress.py` and `hub_errors.py` in `runner_scripts/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line

_PROGRESS = re.compile(
    r"^Downloading: (\d{1,18}) of (\d{1,18}) bytes, (\d{1,18}) bytes/s(?:, (\d{1,12}) s left)?$"
)
_WAITING = re.compile(r"^Download: (.{1,300}); going on in \d+ s$")
_FAILED = re.compile(
    r"\bDownload failed \((?P<code>[a-z_]{1,40})\): (?P<what>.*?)"
    r"(?: Why: (?P<why>.*?))?(?: What to do: (?P<remedy>.*))?$"
)
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@dataclass(frozen=True)
class Download:
    """Bytes there and needed, bytes a second lately, and seconds left where they are known.

    `waiting` says what it waits for, such as a connection that was cut.
    """

    done: int
    total: int
    rate: int = 0
    remaining_s: int | None = None
    waiting: str = ""

    @property
    def text(self) -> str:
        """`1.2 of 3.4 GB, 45 MB/s, 50 s left`."""
        size, unit = _unit(self.total)
        digits = _digits(self.total, size)
        parts = [f"{self.done / size:.{digits}f} of {self.total / size:.{digits}f} {unit}"]
        if self.waiting:
            return ", ".join([*(parts if self.total else []), f"waiting: {self.waiting}"])
        if self.rate:
            size, unit = _unit(self.rate)
            parts.append(f"{self.rate / size:.{_digits(self.rate, size)}f} {unit}/s")
        if self.remaining_s is not None and self.done < self.total:
            parts.append(f"{_duration(self.remaining_s)} left")
        return ", ".join(parts)


def read_progress(message: str, before: Download | None) -> Download | None:
    """How the download goes after a message of the log; None where it says nothing of it."""
    if match := _PROGRESS.match(message):
        left = int(match[4]) if match[4] else None
        return Download(int(match[1]), int(match[2]), int(match[3]), left)
    if match := _WAITING.match(message):
        known = before or Download(0, 0)
        return Download(known.done, known.total, waiting=match[1])
    return None


def download_failure(lines: Iterable[str]) -> TorbizError | None:
    """The error of a download that ended a server, from the last lines of its log."""
    for line in lines:
        if match := _FAILED.search(redact(sanitize_line(line))):
            return TorbizError(
                match["what"],
                why=match["why"] or "",
                remedy=match["remedy"] or "",
                code=match["code"],
            )
    return None


def _digits(count: int, size: int) -> int:
    """Gigabytes are large steps; so are the first few of any unit."""
    return 1 if count < 10 * size or size == 10**9 else 0


def _unit(count: int) -> tuple[int, str]:
    return next((unit for unit in _UNITS if count >= unit[0]), _UNITS[-1])


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
