"""Says that the blocks of a server are really served: ready, and found in the DHT.

That is told once for each choice of blocks. A log is rotated, so it is told again every hour, with
what else stands at its beginning, for who begins to read a log of weeks at its end:

    Still serving: blocks 0:8 since 1764256000, 1021.6 tokens/s, at ['/ip4/192.0.2.1/tcp/31337/p2p/Qm…']
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from typing import Any

from draining import Drain
from served_counters import ServedCounters
from supervisor_words import tell_supervisor
from swarm_coverage import start_telling as start_telling_coverage

# Many blocks, or a busy machine, take longer: that is told, and looked for less often from then on.
USUAL_S = 30.0
LOOK_S, LOOK_LATER_S = 0.1, 5.0
TELL_AGAIN_S = 3600.0


def start_confirming(
    server: Any, drain: Drain, counters: ServedCounters, logger: logging.Logger
) -> None:
    """Do it in a thread, until the server stops; what it serves is told from then on as well."""
    confirming = Confirming(server, drain, counters, logger)
    threading.Thread(target=confirming.run, name="confirm", daemon=True).start()


class Confirming:
    """Follows a server from one choice of blocks to the next."""

    def __init__(
        self, server: Any, drain: Drain, counters: ServedCounters, logger: logging.Logger
    ) -> None:
        self._server = server
        self._drain = drain
        self._counters = counters
        self._logger = logger
        self._since = 0.0

    def run(self) -> None:
        """Confirm each module container of the server, and tell again what it serves."""
        watched: Any = None
        confirmed: Any = None
        told_at = 0.0
        while not self._server.stop.is_set():
            container = self._server.module_container
            if container is None:
                time.sleep(LOOK_S)
                continue
            if container is confirmed:
                if time.monotonic() - told_at >= TELL_AGAIN_S:
                    told_at = time.monotonic()
                    self._tell_again(container)
                time.sleep(LOOK_S)
                continue
            # One that ends before it is ready is never to be.
            if not container.ready.wait(LOOK_S):
                continue
            if container is not watched:
                watched = container
                self._drain.watch(container)
                self._counters.watch(container)
            if self._found(container):
                told_at = time.monotonic()
                if confirmed is None:
                    self._begin_telling()
                confirmed = container

    def _begin_telling(self) -> None:
        self._since = time.time()
        self._counters.start_telling(self._logger)
        start_telling_coverage(self._server, self._logger)

    def _found(self, container: Any) -> bool:
        """Look for its blocks in the DHT; False when it has ended before they were found."""
        data_structures = importlib.import_module("petals.data_structures")
        dht_records = importlib.import_module("petals.utils.dht")
        uids = list(container.module_backends)
        span = _span(container)
        online, dht = data_structures.ServerState.ONLINE, self._server.dht
        began, late = time.monotonic(), False
        while container.ready.is_set() and self._server.module_container is container:
            try:
                infos = dht_records.get_remote_module_infos(dht, uids, latest=True)
            except Exception as error:
                if not late:
                    self._logger.warning("Asking the DHT for our own blocks failed: %r", error)
                infos = []
            own = [info.servers.get(dht.peer_id) for info in infos]
            if own and all(info is not None and info.state == online for info in own):
                self._logger.info("Confirmed in the DHT: blocks %s are online", span)
                tell_supervisor("serving")
                return True
            if not late and time.monotonic() - began >= USUAL_S:
                late = True
                self._logger.warning(
                    "Not confirmed in the DHT after %.0f seconds: blocks %s", USUAL_S, span
                )
            if self._server.stop.wait(LOOK_LATER_S if late else LOOK_S):
                return False
        return False

    def _tell_again(self, container: Any) -> None:
        try:
            addresses = [str(address) for address in self._server.dht.get_visible_maddrs()]
        except Exception as error:  # a DHT that is ending
            self._logger.debug("The addresses cannot be asked for: %r", error)
            return
        # Below the level of what people read: the program reads it.
        own = self._logger.getChild("standing")
        own.setLevel(logging.DEBUG)
        own.debug(
            "Still serving: blocks %s since %d, %.1f tokens/s, at %s",
            _span(container),
            self._since,
            container.server_info.throughput,
            addresses,
        )


def _span(container: Any) -> str:
    data_structures = importlib.import_module("petals.data_structures")
    indices = [data_structures.parse_uid(uid)[1] for uid in container.module_backends]
    return f"{min(indices)}:{max(indices) + 1}"
