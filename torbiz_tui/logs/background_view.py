"""What the views have in common that a thread builds from the end backwards."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.pacing import Telling


class BackgroundView(ABC):
    """A `LineView` that is built by a thread: first backwards, then with what comes.

    `on_change` is called in the thread, ten times a second at most.
    """

    def __init__(self, logs: Sequence[LogSeries], on_change: Callable[[], None] | None) -> None:
        self.problem: TorbizError | None = None
        """Why it was given up (code `slow_pattern`); what was found stays."""
        self._logs = logs
        self._telling = Telling(on_change)
        self._version = 0
        self._complete = False
        self._seen = (0, 0, False)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._wanted_now = threading.Event()
        self._wanted_now.set()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many lines were found so far."""

    @property
    def complete(self) -> bool:
        """Whether everything that was there at first was looked at, or it was given up."""
        return self._complete

    @property
    def version(self) -> int:
        """Changes when lines came before others, or went."""
        return self._version

    def look(self) -> bool:
        """Take in what has come, in the thread; whether anything changed since the last look."""
        for log in self._logs:
            log.look()
        self._wake.set()
        seen = (self.count, self._version, self._complete)
        changed, self._seen = seen != self._seen, seen
        return changed

    def rest(self) -> None:
        """Nobody looks at it now: go on with it after `resume`."""
        self._wanted_now.clear()

    def resume(self) -> None:
        """Go on where it rested."""
        self._wanted_now.set()

    def close(self) -> None:
        """End what runs in the background."""
        self._stop.set()
        self._wanted_now.set()
        self._wake.set()

    def _start(self, name: str) -> None:
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._work()
        except TorbizError as error:
            self.problem = error
            self._complete = True
            self._telling.note()
            self._telling.tell(at_once=True)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wanted_now.wait()
            self._forget_gone()
            working = self._go_back() | self._go_forward()
            if not working:
                self._telling.tell(at_once=True)
                self._wake.wait()
                self._wake.clear()

    @abstractmethod
    def _go_back(self) -> bool:
        """Take some older lines; whether there may be others."""

    @abstractmethod
    def _go_forward(self) -> bool:
        """Take what has come; whether there may be more."""

    @abstractmethod
    def _forget_gone(self) -> None:
        """Leave out the lines of files that are gone."""
