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

from knocking import may_be_there
from log_lines import runner_logger

logger = runner_logger()


class Rejoining:
    """Asks the initial peers again whenever the DHT of a routing manager knows no peer."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._alone = False

    def look(self, timeout_s: float) -> bool:
        """Join again if we are alone, and tell whether we have; waits `timeout_s` at most."""
        peers = [str(peer) for peer in self._manager.config.initial_peers]
        rejoin = functools.partial(rejoin_if_alone, peers=peers, timeout_s=timeout_s)
        try:
            future = self._manager.dht.run_coroutine(rejoin, return_future=True)
            answered = future.result(timeout_s + 0.5)
        except (TimeoutError, concurrent.futures.TimeoutError):
            return False  # the next look tries again
        except Exception as error:  # what is missing in the swarm has to be told all the same
            answered = 0
            logger.debug("The initial peers cannot be asked: %r", error)
        if answered is None:
            self._alone = False
        elif answered:
            logger.info("The swarm is joined again through %d of its initial peers", answered)
        elif not self._alone:
            self._alone = True
            logger.warning("No peer of the swarm is known any more: its initial peers are asked")
        return bool(answered)


async def rejoin_if_alone(
    _dht: Any, node: Any, *, peers: list[str], timeout_s: float
) -> int | None:
    """Return how many of the peers have answered; None where the DHT knows others.

    Runs in the process of the DHT.
    """
    if node.protocol.routing_table.uid_to_peer_id:
        return None
    answers = await asyncio.gather(*(ask_peer(node, peer, timeout_s) for peer in peers))
    return sum(answers)


async def ask_peer(node: Any, peer: str, timeout_s: float) -> bool:
    """Dial a peer and tell whether it answers; then the DHT knows it. In the process of the DHT."""
    # The release brings a copy of the package `multiaddr`, the main branch depends on it.
    multiaddr = importlib.import_module("hivemind.p2p.p2p_daemon").Multiaddr(peer)
    identity = multiaddr["p2p"]
    peer_id = importlib.import_module("hivemind.p2p").PeerID.from_base58(identity)
    try:
        async with asyncio.timeout(timeout_s):
            if not await may_be_there(peer, timeout_s):
                return False
            # The daemon may have forgotten the address by now.
            await node.p2p._client.connect(peer_id, [multiaddr.decapsulate(f"/p2p/{identity}")])
            return await node.protocol.call_ping(peer_id) is not None
    except Exception as error:  # a peer that is still away
        logger.debug("…%s does not answer: %r", identity[-6:], error)
        return False
