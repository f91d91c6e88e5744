"""Where the peers of a swarm can be dialled, as the daemon of a DHT node has learnt it from them."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from log_lines import runner_logger

MOST_PEERS = 5
MOST_OF_A_PEER = 3
_LOOPBACK = ("/ip4/127.", "/ip6/::1/")
_DIALLED = ("/ip4/", "/ip6/", "/dns")

logger = runner_logger()


async def seen_peers(_dht: Any, node: Any, *, timeout_s: float) -> list[str]:
    """Return addresses of peers that the DHT node knows, which leaves out those who only ask.

    Runs in the process of the DHT.
    """
    peers = list(node.protocol.routing_table.peer_id_to_uid)[:MOST_PEERS]
    found = await asyncio.gather(*(_addresses(node, peer, timeout_s) for peer in peers))
    return sorted(address for addresses in found for address in addresses)


async def _addresses(node: Any, peer: Any, timeout_s: float) -> list[str]:
    try:
        async with asyncio.timeout(timeout_s):
            known = await _find(node.p2p, peer, timeout_s)
    except Exception as error:  # a peer that has just gone
        logger.debug("…%s is not found: %r", str(peer)[-6:], error)
        return []
    return chosen(known, str(peer))


async def _find(p2p: Any, peer: Any, timeout_s: float) -> list[str]:
    """Ask the daemon for a peer; hivemind has no call for it, though the daemon answers."""
    messages: Any = importlib.import_module("hivemind.proto.p2pd_pb2")
    wire: Any = importlib.import_module("hivemind.p2p.p2p_daemon_bindings.utils")
    multiaddr: Any = importlib.import_module("hivemind.p2p.p2p_daemon").Multiaddr
    wanted = messages.DHTRequest(
        type=messages.DHTRequest.FIND_PEER, peer=peer.to_bytes(), timeout=max(1, int(timeout_s))
    )
    reader, writer = await p2p._client.control.daemon_connector.open_connection()
    try:
        request = messages.Request(type=messages.Request.DHT, dht=wanted)
        await wire.write_pbmsg(writer, request)
        response = messages.Response()
        await wire.read_pbmsg_safe(reader, response)
    finally:
        writer.close()
    wire.raise_if_failed(response)
    return [str(multiaddr(address)) for address in response.dht.peer.addrs]


def chosen(known: list[str], peer: str) -> list[str]:
    """The few addresses to keep of a peer: loopback only when there is nothing else."""
    dialled = [text for text in known if text.startswith(_DIALLED) and "/p2p-circuit" not in text]
    beyond = [text for text in dialled if not text.startswith(_LOOPBACK)]
    return [f"{text}/p2p/{peer}" for text in sorted(beyond or dialled)[:MOST_OF_A_PEER]]
