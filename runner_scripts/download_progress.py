"""How a download goes: bytes, rate and time left, told in the log or as JSON lines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from log_lines import runner_logger

RATE_WINDOW_S = 10.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0


@dataclass(frozen=True)
class Progress:
    """Bytes there and needed, bytes a second lately, and seconds left (None: not known yet)."""

    done: int
    total: int
    rate: float
    remaining_s: float | None


class Listener(Protocol):
    """Who is told how a download goes; both are called from the downloading thread."""

    def progress(self, progress: Progress) -> None:
        """At most twice a second, and at the end."""

    def waiting(self, reason: str, seconds: float) -> None:
        """Before each pause."""


class LogListener:
    """Tells it in the log, in the form that the app reads."""

    def progress(self, progress: Progress) -> None:
        """One line."""
        left = "" if progress.remaining_s is None else f", {progress.remaining_s:.0f} s left"
        runner_logger().info(
            "Downloading: %d of %d bytes, %.0f bytes/s%s",
            progress.done,
            progress.total,
            progress.rate,
            left,
        )

    def waiting(self, reason: str, seconds: float) -> None:
        """One line."""
        runner_logger().warning("Download: %s; going on in %.0f s", reason, seconds)


class Meter:
    """Turns counts of bytes into progress, not too often."""

    def __init__(self, total: int, listener: Listener) -> None:
        self._total = total
        self._listener = listener
        self._started = time.monotonic()
        self._told = -1.0
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, done: int, *, last: bool = False) -> None:
        """Take the bytes that are there now."""
        now = time.monotonic()
        if self._samples and done < self._samples[-1][1]:  # a file was begun anew
            self._samples.clear()
        self._samples.append((now, done))
        while self._samples[0][0] < now - RATE_WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()
        # A download of hours needs no line each half second in a log that people read.
        pause = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, (now - self._started) / 60))
        if not last and self._told >= 0 and now - self._told < pause:
            return
        self._told = now
        since, before = self._samples[0]
        span = now - since
        rate = (done - before) / span if span > 0 else 0.0
        left = (self._total - done) / rate if rate > 0 else None
        self._listener.progress(Progress(done, self._total, rate, left))


class LineListener:
    """Tells it as JSON lines."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write

    def progress(self, progress: Progress) -> None:
        """One line."""
        self._write({"type": "progress", **_facts(progress)})

    def waiting(self, reason: str, seconds: float) -> None:
        """One line."""
        self._write({"type": "waiting", "reason": reason, "seconds": round(seconds, 1)})


class StageListener:
    """Tells it as the stage of a runner that starts, and in the log."""

    def __init__(self, status: Callable[..., None]) -> None:
        self._status = status
        self._log = LogListener()
        self._facts: dict[str, Any] = {}

    def progress(self, progress: Progress) -> None:
        """One event, and one line."""
        self._log.progress(progress)
        self._facts = _facts(progress)
        self._status("downloading", **self._facts)

    def waiting(self, reason: str, seconds: float) -> None:
        """One event, and one line."""
        self._log.waiting(reason, seconds)
        self._status("downloading", **self._facts, waiting=reason)


def _facts(progress: Progress) -> dict[str, Any]:
    return {
        "done_bytes": progress.done,
        "total_bytes": progress.total,
        "bytes_per_s": round(progress.rate),
        "remaining_s": progress.remaining_s and round(progress.remaining_s, 1),
    }
