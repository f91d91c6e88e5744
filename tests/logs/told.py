"""What tests of views in the background share."""

from __future__ import annotations

import threading
from collections.abc import Callable

from torbiz_tui.logs.views import LineView


class Told:
    """Waits until a view that works in the background has come to something."""

    def __init__(self) -> None:
        self._told = threading.Semaphore(0)

    def __call__(self) -> None:
        self._told.release()

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for it, as long as something new is told."""
        while not reached():
            assert self._told.acquire(timeout=30), "nothing more was told"


def shown(view: LineView) -> list[str]:
    """All lines of a view."""
    return [line.data.decode() for line in view.lines(0, view.count)]
