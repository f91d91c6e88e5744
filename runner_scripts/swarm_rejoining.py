"""Joins a swarm again that has left us alone.

When the last peer that hivemind's DHT knows goes away, it forgets it and asks nobody any more, also
when the same peer is back: the initial peers are only asked at the start.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import importlib
from typing import Any

from log_lines import runner_logger

logger = runner_logger()


def rejoin_when_alone(manager: Any, timeout_s: float) -> None:
    """Ask the initial peers again when the DHT knows no peer; waits `timeout_s` at most."""
    peers = [str(peer) for peer in manager.config.initial_peers]
    try:
        rejoin = functools.partial(_rejoin, peers=peers, timeout_s=timeout_s)
        answered = manager.dht.run_coroutine(rejoin, return_future=True).result(timeout_s + 0.5)
    except (TimeoutError, concurrent.futures.TimeoutError):
        return  # the next look tries again
    if answered:
        logger.info("The swarm is joined again through %d of its initial peers", answered)


async def _rejoin(_dht: Any, node: Any, *, peers: list[str], timeout_s: float) -> int:
    """Return how many of the peers have answered; runs in the process of the DHT."""
    if node.protocol.routing_table.uid_to_peer_id:
        return 0
    answers = await asyncio.gather(*(_ask(node, peer, timeout_s) for peer in peers))
    return sum(answers)


async def _ask(node: Any, peer: str, timeout_s: float) -> bool:
    multiaddr = importlib.import_module("multiaddr").Multiaddr(peer)
    identity = multiaddr["p2p"]
    peer_id = importlib.import_module("hivemind.p2p").PeerID.from_base58(identity)
    try:
        async with asyncio.timeout(timeout_s):
            # The daemon may have forgotten the address by now.
            await node.p2p._client.connect(peer_id, [multiaddr.decapsulate(f"/p2p/{identity}")])
            return await node.protocol.call_ping(peer_id) is not None
    except Exception as error:  # a peer that is still away
        logger.debug("…%s does not answer: %r", identity[-6:], error)
        return False
