"""Where the peers of a swarm can be dialled, as the daemon of a DHT node has learnt it from them."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import itertools
from typing import Any

from log_lines import runner_logger

MOST_PEERS = 16
MOST_OF_A_PEER = 3
# One longer than this is no address that somebody could be at.
_LONGEST = 200
_LOOPBACK = ("/ip4/127.", "/ip6/::1/")
_DIALLED = ("/ip4/", "/ip6/", "/dns")

logger = runner_logger()


async def seen_peers(_dht: Any, node: Any, *, timeout_s: float) -> list[str]:
    """Return addresses of peers that the DHT node knows, which leaves out those who only ask.

    The first of each peer comes first, so that who keeps some of them keeps one of every peer.
    Runs in the process of the DHT.
    """
    peers = sorted(list(node.protocol.routing_table.peer_id_to_uid)[:MOST_PEERS], key=str)
    if not peers:
        return []
    here = await _on_this_machine(node.p2p, timeout_s)
    found = await asyncio.gather(
        *(_addresses(node, peer, timeout_s, here=str(peer) in here) for peer in peers)
    )
    return _one_of_each_first(found)


def _one_of_each_first(found: list[list[str]]) -> list[str]:
    rounds = itertools.zip_longest(*found)
    return [address for turn in rounds for address in turn if address is not None]


async def _on_this_machine(p2p: Any, timeout_s: float) -> set[str]:
    """The peers with a connection over loopback: only to them do their loopback addresses lead."""
    try:
        async with asyncio.timeout(timeout_s):
            connected = await p2p.list_peers()
    except Exception as error:  # without it they are not told apart, and left out
        logger.debug("The daemon does not tell its connections: %r", error)
        return set()
    return {
        str(one.peer_id)
        for one in connected
        if any(str(address).startswith(_LOOPBACK) for address in one.addrs)
    }


async def _addresses(node: Any, peer: Any, timeout_s: float, *, here: bool) -> list[str]:
    try:
        async with asyncio.timeout(timeout_s):
            known = await _find(node.p2p, peer, timeout_s)
    except Exception as error:  # a peer that has just gone
        logger.debug("…%s is not found: %r", str(peer)[-6:], error)
        return []
    return chosen(known, str(peer), here=here)


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


def chosen(known: list[str], peer: str, *, here: bool) -> list[str]:
    """The few addresses to keep of a peer; loopback only of one on this machine with no other.

    Of a peer elsewhere it would lead to whoever listens at that port of this machine.
    """
    dialled = [
        text
        for text in known
        if text.startswith(_DIALLED) and "/p2p-circuit" not in text and len(text) <= _LONGEST
    ]
    beyond = [text for text in dialled if not text.startswith(_LOOPBACK)]
    kept = beyond or (dialled if here else [])
    return [f"{text}/p2p/{peer}" for text in sorted(kept, key=_reached_by_most)[:MOST_OF_A_PEER]]


def _reached_by_most(address: str) -> tuple[bool, bool, str]:
    """Sorts IPv4 first, and there what is not of a local network: few may be kept."""
    kind, host = address.split("/")[1:3]
    try:
        local = kind.startswith("ip") and not ipaddress.ip_address(host).is_global
    except ValueError:  # with a zone, which is local
        local = True
    return kind in ("ip6", "dns6"), local, address
