"""Keeps a server of a private swarm joined, and tells where its other peers are.

hivemind asks the initial peers once. When one of them is started again it begins without knowing
anybody, and those who knew it have forgotten it: two swarms, until somebody dials it anew. The same
holds for friends who joined later, when this machine was cut off from them, and for those who were
away when it started.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from log_lines import runner_logger
from met_peers import MetPeers
from peer_addresses import seen_peers
from swarm_rejoining import ask_peer

LOOK_S = 10.0
ANSWER_S = 3.0
# The app keeps as many addresses, and looks for the line near the end of the log.
MOST_TOLD = 16
TELL_AGAIN_S = 3600.0

logger = runner_logger()


class StayingJoined:
    """Looks after the DHT of a server until `stop` is set."""

    def __init__(self, dht: Any, peers: list[str], known: list[str], stop: Any) -> None:
        self._dht = dht
        self._peers = peers
        self._stop = stop
        self._met = MetPeers()
        self._met.take(known)
        self._told: tuple[list[str], int] = [], 0

    def run(self) -> None:
        """Ask the initial peers and friends that the DHT does not know, and tell whom it knows."""
        seen = functools.partial(seen_peers, timeout_s=ANSWER_S)
        while not self._stop.wait(LOOK_S):
            peers = [*self._peers, *self._met.addresses()]
            for peer in self._look(functools.partial(ask_absent, peers=peers, timeout_s=ANSWER_S)):
                logger.info("A peer of the swarm is back: …%s", peer[-6:])
            addresses = self._look(seen)
            self._met.take(addresses)
            told = addresses[:MOST_TOLD], int(time.monotonic() // TELL_AGAIN_S)
            if addresses and told != self._told:
                self._told = told
                # The form that the app reads.
                logger.info("Peers of the swarm, seen by %s: %s", self._dht.peer_id, told[0])

    def _look(self, look: Callable[..., Any]) -> list[str]:
        try:
            found: list[str] = self._dht.run_coroutine(look, return_future=True).result(
                ANSWER_S + 2
            )
        except (TimeoutError, concurrent.futures.TimeoutError):
            return []
        except Exception as error:
            logger.debug("The peers cannot be asked: %r", error)
            return []
        return found


def start_staying_joined(server: Any, peers: list[str], known: list[str]) -> None:
    """Do it in a thread, until the server stops.

    `peers` are those that it joined through, `known` others that were in the swarm before.
    """
    staying = StayingJoined(server.dht, peers, known, server.stop)
    threading.Thread(target=staying.run, name="stay joined", daemon=True).start()


async def ask_absent(_dht: Any, node: Any, *, peers: list[str], timeout_s: float) -> list[str]:
    """Return the identities of peers that the DHT did not know, and that have answered.

    Runs in the process of the DHT.
    """
    known = {str(peer) for peer in (node.peer_id, *node.protocol.routing_table.peer_id_to_uid)}
    absent = {peer: peer.rpartition("/p2p/")[2] for peer in peers}
    asked = [peer for peer, identity in absent.items() if identity not in known]
    answers = await asyncio.gather(*(ask_peer(node, peer, timeout_s) for peer in asked))
    return sorted({absent[peer] for peer, came in zip(asked, answers, strict=True) if came})
