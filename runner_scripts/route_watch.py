"""Keeps an eye on who serves the blocks while nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from chat_answer import Route
from chat_errors import ChatError
from log_lines import runner_logger

PERIOD_S = 3.0
LOOK_TIMEOUT_S = 10.0

logger = runner_logger()


class RouteWatch:
    """Looks at the route every few seconds in a thread of its own, and on demand.

    `changed` is called with the first route and with each that differs from the one before, by one
    thread at a time.
    """

    def __init__(self, look_up: Callable[[], Route], changed: Callable[[Route], None]) -> None:
        self._look_up = look_up
        self._changed = changed
        self._looking = threading.Lock()
        self._soon = threading.Event()
        self._said = ""
        self.route: Route | None = None

    def start(self) -> None:
        """Take the first look now, and go on unless no swarm is asked."""
        self._soon.set()
        threading.Thread(target=self._run, name="route", daemon=True).start()

    def look_soon(self) -> None:
        """Do not wait for the next look's time: a server has failed."""
        self._soon.set()

    def look(self) -> Route:
        """Look now; raises what the look raises, ChatError (timeout) when one before hangs."""
        if not self._looking.acquire(timeout=LOOK_TIMEOUT_S):
            raise ChatError("timeout", "The swarm does not say who serves this model.")
        try:
            route = self._look_up()
            if route != self.route:
                self.route = route
                self._changed(route)
            return route
        finally:
            self._looking.release()

    def _run(self) -> None:
        while self.route is None or not self.route.local:
            self._soon.wait(PERIOD_S)
            self._soon.clear()
            try:
                self.look()
                self._said = ""
            except Exception as error:
                # The same failure every few seconds would fill the log.
                if repr(error) != self._said:
                    self._said = repr(error)
                    logger.warning("The route cannot be looked up: %r", error)
