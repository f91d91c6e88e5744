"""Keeps a server of a private swarm joined with the peers that it joined through.

hivemind asks the initial peers once. When one of them is started again it begins without knowing
anybody, and those who knew it have forgotten it: two swarms, until somebody dials it anew.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from typing import Any

from log_lines import runner_logger
from swarm_rejoining import ask_peer

LOOK_S = 10.0
ANSWER_S = 3.0

logger = runner_logger()


def stay_joined(dht: Any, peers: list[str], stop: Any) -> None:
    """Ask those of the initial peers that the DHT does not know, until `stop` is set."""
    look = functools.partial(ask_absent, peers=peers, timeout_s=ANSWER_S)
    while not stop.wait(LOOK_S):
        try:
            back = dht.run_coroutine(look, return_future=True).result(ANSWER_S + 2)
        except (TimeoutError, concurrent.futures.TimeoutError):
            continue
        except Exception as error:
            logger.debug("The initial peers cannot be asked: %r", error)
            continue
        for peer in back:
            logger.info("A peer of the swarm is back: …%s", peer[-6:])


def start_staying_joined(server: Any, peers: list[str]) -> None:
    """Do it in a thread, until the server stops."""
    threading.Thread(
        target=stay_joined, args=(server.dht, peers, server.stop), name="stay joined", daemon=True
    ).start()


async def ask_absent(_dht: Any, node: Any, *, peers: list[str], timeout_s: float) -> list[str]:
    """Return the identities of peers that the DHT did not know, and that have answered.

    Runs in the process of the DHT.
    """
    known = {str(peer) for peer in (node.peer_id, *node.protocol.routing_table.peer_id_to_uid)}
    absent = {peer: peer.rpartition("/p2p/")[2] for peer in peers}
    asked = [peer for peer, identity in absent.items() if identity not in known]
    answers = await asyncio.gather(*(ask_peer(node, peer, timeout_s) for peer in asked))
    return sorted({absent[peer] for peer, came in zip(asked, answers, strict=True) if came})
