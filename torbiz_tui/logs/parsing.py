"""What a log line says of itself: its time, its level, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A line's parts, as far as it has them.

    `time` is aware; a stamp without a zone is taken as the local time of this machine, one without
    a year as of the latest year that does not put it into the future. `level` is one of `LEVELS`
    or empty, `source` the logger or the place in the code, `message_at` where the message begins in
    the text.
    """

    time: datetime | None = None
    level: str = ""
    source: str = ""
    message_at: int = 0


def parse(text: str) -> Parsed:
    """Take a line apart; `text` is decoded and without colours (see `decoding`)."""
    raise NotImplementedError


class Folding:
    """Tells which lines belong to the one before: tracebacks and what is indented."""

    def continues(self, text: str) -> bool:
        """Whether the next line, `text`, belongs to the line before it."""
        raise NotImplementedError


def continuation(text: str) -> bool:
    """Whether a line by itself looks as if it went on with the one before (no state needed)."""
    raise NotImplementedError
