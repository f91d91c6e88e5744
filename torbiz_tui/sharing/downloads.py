"""What the server's log tells of a download: how far it is, and why it failed.

The lines are those of `download_progress.py` and `hub_errors.py` in `runner_scripts/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torbiz_tui.download import Download
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line

__all__ = ["Download", "download_failure", "read_progress"]

_PROGRESS = re.compile(
    r"^Downloading: (\d{1,18}) of (\d{1,18}) bytes, (\d{1,18}) bytes/s(?:, (\d{1,12}) s left)?$"
)
_WAITING = re.compile(r"^Download: (.{1,300}); going on in \d+ s$")
_FAILED = re.compile(
    r"\bDownload failed \((?P<code>[a-z_]{1,40})\): (?P<what>.*?)"
    r"(?: Why: (?P<why>.*?))?(?: What to do: (?P<remedy>.*))?$"
)


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
