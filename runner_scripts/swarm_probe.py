"""Asks servers whether they answer: one that has crashed stays announced for minutes."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Coroutine
from typing import Any

from knocking import listening
from log_lines import runner_logger
from swarm_records import Server

TIMEOUT_S = 3.0
KNOCK_S = 1.5
AT_ONCE = 16
# Hundreds that do not answer must not hold up the rest of a look: they are asked with the next ones.
MOST_S = 6.0
# Who answered is asked again in case a cable was pulled, which the daemon notices within a minute at
# best: so often that all servers together are asked a few times a second at most.
REACHED_AGAIN_AFTER_S = (10.0, 60.0)
ASKED_PER_S = 3.0
LOST_AGAIN_AFTER_S = 10.0
LOST_AGAIN_AT_MOST_S = 120.0
# Where a port shows first whether asking is worth it: soon seen when back, and next to nothing lost.
KNOCKED_AGAIN_AT_MOST_S = 20.0
# How Petals' servers name what a client asks for their state (petals/server/handler.py).
_RPC = "TransformerConnectionHandler.rpc_info"

logger = runner_logger()


class _Known:
    """What is known of one peer: whether it answered, when to ask again, how often it did not.

    `connections` are the addresses of its last ones, `ports` those of them that it listens at.
    """

    def __init__(self) -> None:
        self.reachable: bool | None = None
        self.connected = False
        self.connections: list[str] = []
        self.ports: list[str] | None = None
        self.next_at = 0.0
        self.failures = 0


class Probe:
    """Remembers who answers, and asks as rarely as that lets it.

    A connection that the daemon has lost is a reason to ask at once, and so is one that is back;
    who did not answer is asked again with growing pauses.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    async def look(self, p2p: Any, servers: list[Server]) -> None:
        """Set `reachable` and `relayed` of servers that are not offline."""
        connected = await _connections(p2p)
        announced = [one for one in servers if one.state != "offline"]
        names = {one.peer_id for one in announced}
        self._known = {peer: known for peer, known in self._known.items() if peer in names}
        gate = asyncio.Semaphore(AT_ONCE)
        soonest, latest = REACHED_AGAIN_AFTER_S
        pause = max(soonest, min(len(announced) / ASKED_PER_S, latest))
        await _for_a_while(
            [
                self._look_at(p2p, server, connected.get(server.peer_id), gate, pause)
                # Who has waited longest comes first.
                for server in sorted(announced, key=self._asked_again_at)
            ]
        )
        reached = [server for server in announced if server.reachable]
        if any(server.peer_id not in connected for server in reached):
            connected = await _connections(p2p)
        for server in reached:
            server.relayed = relayed(connected.get(server.peer_id, []))

    def _asked_again_at(self, server: Server) -> float:
        return self._known.setdefault(server.peer_id, _Known()).next_at

    async def _look_at(
        self,
        p2p: Any,
        server: Server,
        connections: list[str] | None,
        gate: asyncio.Semaphore,
        pause: float,
    ) -> None:
        known = self._known[server.peer_id]
        server.reachable = known.reachable
        connected = connections is not None
        changed = known.connected != connected
        known.connected = connected
        if connections and connections != known.connections:
            known.connections, known.ports = connections, None
        if changed:  # with the next look, if there is no time left in this one
            known.next_at = 0.0
        if time.monotonic() >= known.next_at:
            async with gate:
                answered = await _answers(p2p, server.peer_id, known)
                if answered and known.ports is None and known.connections:
                    known.ports = await listening(known.connections, KNOCK_S)
            known.reachable = answered
            if answered:
                known.failures = 0
                known.connected = True
            else:
                most = KNOCKED_AGAIN_AT_MOST_S if known.ports else LOST_AGAIN_AT_MOST_S
                pause = min(LOST_AGAIN_AFTER_S * 2**known.failures, most)
                known.failures = min(known.failures + 1, 10)
            known.next_at = time.monotonic() + pause
        server.reachable = known.reachable


async def _for_a_while(looks: list[Coroutine[Any, Any, None]]) -> None:
    """Do them at the same time, and leave what is not done within `MOST_S` for the next time."""
    doing = [asyncio.ensure_future(one) for one in looks]
    if not doing:
        return
    try:
        done, _late = await asyncio.wait(doing, timeout=MOST_S)
        for one in done:
            one.result()
    finally:
        for one in doing:
            one.cancel()
        await asyncio.wait(doing)


async def _connections(p2p: Any) -> dict[str, list[str]]:
    """The addresses that the daemon's connections lead to, by peer."""
    found: dict[str, set[str]] = {}
    for peer in await p2p.list_peers():
        found.setdefault(str(peer.peer_id), set()).update(map(str, peer.addrs))
    return {peer: sorted(addresses) for peer, addresses in found.items()}


def relayed(connections: list[str]) -> bool | None:
    """Whether a peer is reached through others only, by the addresses of its connections."""
    return all("/p2p-circuit" in one for one in connections) if connections else None


async def _answers(p2p: Any, peer: str, known: _Known) -> bool:
    messages = importlib.import_module("hivemind.proto.runtime_pb2")
    peer_id = importlib.import_module("hivemind.p2p").PeerID.from_base58(peer)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            # Each dial in vain would keep libp2p from the next one for longer.
            if known.failures and known.ports and not await listening(known.ports, KNOCK_S):
                return False
            await p2p.call_protobuf_handler(
                peer_id, _RPC, messages.ExpertUID(), messages.ExpertInfo
            )
    except Exception as error:  # whatever keeps it from answering, it cannot be used
        logger.debug("…%s does not answer: %r", peer[-6:], error)
        return False
    return True
