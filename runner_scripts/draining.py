"""Finishing what a server is answering before it stops: SIGUSR1 asks for it.

The blocks are announced offline at once, so that nobody new comes, and the sessions that are open go
on. A session in which nothing is computed for some seconds waits for a person, and is not waited for;
in a swarm whose servers need longer than that for a token, the pauses between the last ones count.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

DRAIN_SIGNAL = signal.SIGUSR1
IDLE_S = 2.0
# So many of the longest of the last pauses; who waits longer than that is a person.
PAUSES, PAUSES_SEEN, MOST_IDLE_S = 2.0, 8, 20.0
LOOK_S = 0.1
# Whoever asks waits less long than that, and then asks again with SIGTERM.
MOST_S = 600.0


class Drain:
    """Knows when a server has computed last, and ends it once nothing is being answered."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._container: Any = None
        self._computing = 0
        self._last = 0.0
        self._pauses: deque[float] = deque(maxlen=PAUSES_SEEN)
        self._begun = False

    def watch(self, container: Any) -> None:
        """Note when this module container computes."""
        compute: Callable[..., Any] = container.runtime.process_batch

        def process_batch(*arguments: Any) -> Any:
            pause = time.monotonic() - self._last
            if not self._computing and pause < MOST_IDLE_S:
                self._pauses.append(pause)
            self._computing += 1
            try:
                return compute(*arguments)
            finally:
                self._computing -= 1
                self._last = time.monotonic()

        container.runtime.process_batch = process_batch
        self._container = container

    def begin(self, _signum: int, _frame: Any) -> None:
        """Take nothing new, finish what is open, then stop as after SIGTERM."""
        if self._begun:
            return
        self._begun = True
        threading.Thread(target=self._finish, name="drain", daemon=True).start()

    def _finish(self) -> None:
        try:
            if self._container is not None and self._busy():
                self._logger.info("Finishing what is being answered, then stopping")
                self._announce_offline()
                deadline = time.monotonic() + MOST_S
                while self._busy() and time.monotonic() < deadline:
                    time.sleep(LOOK_S)
        except Exception as error:
            self._logger.warning("Stopping without finishing what is open: %r", error)
        os.kill(os.getpid(), signal.SIGTERM)

    def _busy(self) -> bool:
        if self._computing:
            return True
        backend = next(iter(self._container.module_backends.values()))
        idle_s = min(MOST_IDLE_S, max(IDLE_S, PAUSES * max(self._pauses, default=0.0)))
        recent = time.monotonic() - self._last < idle_s
        return recent and backend.memory_cache.current_size_bytes > 0

    def _announce_offline(self) -> None:
        petals_server = importlib.import_module("petals.server.server")
        for thread in threading.enumerate():
            if isinstance(thread, petals_server.ModuleAnnouncerThread):
                thread.announce(petals_server.ServerState.OFFLINE)
