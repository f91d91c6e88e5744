"""A look at a swarm as `torbiz-tui swarm --json` prints it."""

from __future__ import annotations

from typing import Any

from torbiz_tui.swarm_map.coverage import cover
from torbiz_tui.swarm_map.snapshot import Snapshot, SwarmServer


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """The object that `docs/swarm.md` describes."""
    coverage = cover(snapshot)
    return {
        "model": snapshot.model,
        "prefix": snapshot.prefix,
        "num_blocks": snapshot.num_blocks,
        "complete": coverage.whole,
        "missing": [list(blocks) for blocks in coverage.missing],
        "single": [list(blocks) for blocks in coverage.single],
        "joining": [list(blocks) for blocks in coverage.joining],
        "servers_per_block": list(coverage.counts),
        "alone": snapshot.alone,
        "looked_at": snapshot.looked_at,
        "servers": [_server(server) for server in snapshot.servers],
    }


def _server(server: SwarmServer) -> dict[str, Any]:
    return {
        "peer_id": server.peer_id,
        "own": server.own,
        "state": server.state.value,
        "first": server.start,
        "end": server.end,
        "throughput": server.throughput,
        "inference_rps": server.inference_rps,
        "forward_rps": server.forward_rps,
        "network_rps": server.network_rps,
        "version": server.version or None,
        "public_name": server.public_name or None,
        "using_relay": server.using_relay,
        "relayed": server.relayed,
        "reachable": server.reachable,
        "cache_tokens_left": server.cache_tokens_left,
        "torch_dtype": server.torch_dtype or None,
        "quant_type": server.quant_type or None,
        "adapters": list(server.adapters),
        "next_pings": dict(server.next_pings),
        "expires_at": server.expires_at or None,
    }
