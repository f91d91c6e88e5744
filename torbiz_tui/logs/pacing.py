"""Background work in Python that leaves room for the event loop."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

_WORK_S = 0.002
_PAUSE_S = 0.0002
_TOLD_EVERY_S = 0.1


class Pace:
    """Pauses for a moment every two milliseconds, so that a waiting thread gets its turn.

    Without a real pause the interpreter's lock changes hands every five milliseconds at best, and
    a key press needs it several times until the screen has changed.
    """

    def __init__(self, work_s: float = _WORK_S) -> None:
        """`work_s` is the time between pauses; infinity where nobody waits."""
        self._work_s = work_s
        self._since = monotonic()

    def breathe(self) -> None:
        """Call it often; most calls return at once."""
        if monotonic() - self._since > self._work_s:
            sleep(_PAUSE_S)
            self._since = monotonic()


class Telling:
    """Tells that something has changed, ten times a second at most."""

    def __init__(self, on_change: Callable[[], None] | None) -> None:
        self._on_change = on_change
        self._told_at = 0.0
        self._changed = False

    def note(self) -> None:
        """Something has changed."""
        self._changed = True

    def tell(self, *, at_once: bool = False) -> None:
        """Tell it if it is time, or `at_once`: nothing more comes for now."""
        if self._changed and (at_once or monotonic() - self._told_at > _TOLD_EVERY_S):
            self._changed = False
            self._told_at = monotonic()
            if self._on_change is not None:
                self._on_change()
