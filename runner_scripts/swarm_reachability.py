"""Whether a peer can be dialled from another one: Petals' own protocol, without Petals.

Import it after `light_hivemind.import_dht_node`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import dht_pb2

from log_lines import runner_logger

CHECK_TIMEOUT_S = 5.0
# Those of petals/server/reachability.py: a peer that only dials, and that nobody is connected to.
_PROBE: dict[str, Any] = {
    "dht_mode": "client",
    "use_relay": False,
    "auto_nat": False,
    "nat_port_map": False,
    "no_listen": True,
    "startup_timeout": 60,
}

logger = runner_logger()


class ReachabilityProtocol(ServicerBase):  # type: ignore[misc]
    """Answers whether a peer can be dialled from here; the name is what Petals calls it by."""

    def __init__(self, probe: Any) -> None:
        self._probe = probe

    async def call_check(self, remote_peer: Any, check_peer: Any) -> bool | None:
        """Whether `remote_peer` can dial `check_peer`; None when `remote_peer` does not answer."""
        request = dht_pb2.PingRequest(peer=dht_pb2.NodeInfo(node_id=check_peer.to_bytes()))
        timeout = CHECK_TIMEOUT_S if check_peer == remote_peer else CHECK_TIMEOUT_S * 2
        try:
            stub = self.get_stub(self._probe, remote_peer)
            async with asyncio.timeout(timeout + 1):
                response = await stub.rpc_check(request, timeout=timeout)
        except Exception as error:  # whatever keeps it from answering
            logger.debug("…%s does not answer: %r", str(remote_peer)[-6:], error)
            return None
        return bool(response.available)

    async def rpc_check(
        self, request: dht_pb2.PingRequest, context: P2PContext
    ) -> dht_pb2.PingResponse:
        """Tell another peer whether the one it names can be dialled from here."""
        response = dht_pb2.PingResponse(available=True)
        peer = PeerID(request.peer.node_id)
        if peer != context.local_id:
            response.available = await self.call_check(peer, peer) is True
            logger.info("…%s can be dialled: %s", str(peer)[-6:], response.available)
        return response


@contextlib.asynccontextmanager
async def serve_reachability(p2p: Any, addresses: list[str]) -> AsyncIterator[None]:
    """Answer others while the context lasts; that no probe can be started is logged."""
    try:
        # Through our own daemon, which may be connected to the peer already, nothing would show.
        probe = await P2P.create(addresses, **_PROBE)
    except Exception as error:
        logger.warning("Others cannot ask here whether they are reached: %r", error)
        yield
        return
    protocol = ReachabilityProtocol(probe)
    await protocol.add_p2p_handlers(p2p)
    yield
