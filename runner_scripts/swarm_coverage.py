"""Whether the swarm of a server is whole, as its own node of the DHT knows it.

A line tells it at first and whenever it changes:

    Swarm: 3 servers, whole
    Swarm: 2 servers, nobody serves 8:12 15:16
"""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

LONGEST_PERIOD_S = 30.0
RANGES_TOLD = 20


def coverage_line(infos: list[Any], online: Any) -> str:
    """The line for what the DHT holds of each block of the model, in order."""
    servers: set[str] = set()
    missing: list[list[int]] = []
    for block, info in enumerate(infos):
        there = [
            str(peer)
            for peer, server in (info.servers if info is not None else {}).items()
            if server.state == online
        ]
        servers.update(there)
        if there:
            continue
        if missing and missing[-1][1] == block:
            missing[-1][1] = block + 1
        else:
            missing.append([block, block + 1])
    if not missing:
        return f"Swarm: {len(servers)} servers, whole"
    ranges = " ".join(f"{first}:{end}" for first, end in missing[:RANGES_TOLD])
    return f"Swarm: {len(servers)} servers, nobody serves {ranges}"


def start_telling(server: Any, logger: logging.Logger) -> None:
    """Look every half minute, or as often as the server announces itself if that is more often.

    It costs what Petals' own look at the balance of the swarm does: one look-up a block.
    """
    period_s = min(LONGEST_PERIOD_S, max(1.0, server.update_period))
    arguments = (server, period_s, logger)
    threading.Thread(target=_tell, args=arguments, name="coverage", daemon=True).start()


def _tell(server: Any, period_s: float, logger: logging.Logger) -> None:
    dht_records = importlib.import_module("petals.utils.dht")
    online = importlib.import_module("petals.data_structures").ServerState.ONLINE
    last = ""
    while True:
        try:
            infos = dht_records.get_remote_module_infos(server.dht, server.module_uids, latest=True)
            line = coverage_line(infos, online)
        except Exception as error:
            logger.debug("The swarm cannot be looked at: %r", error)
            line = last
        if line != last:
            logger.info("%s", line)
        last = line
        if server.stop.wait(period_s):
            return
