"""Looks at swarms as the monitor tells them, for tests."""

from __future__ import annotations

import random
from typing import Any

from torbiz_tui.swarm_map.snapshot import Snapshot, read_snapshot


def server(number: int, start: int, end: int, **facts: Any) -> dict[str, Any]:
    """A server's facts; its peer id ends with its number."""
    return {
        "peer_id": f"12D3KooWQzx9{number:06d}",
        "state": "online",
        "start": start,
        "end": end,
        "throughput": 12.5,
        "reachable": True,
        **facts,
    }


def look(num_blocks: int, *servers: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """A `swarm` message."""
    return {
        "type": "swarm",
        "model": "owner/model",
        "prefix": "model-hf",
        "num_blocks": num_blocks,
        "looked_at": 1_700_000_000.0,
        "took_s": 0.01,
        "alone": False,
        "servers": list(servers),
        **facts,
    }


def snapshot(num_blocks: int, *servers: dict[str, Any], **facts: Any) -> Snapshot:
    """The same, read."""
    return read_snapshot(look(num_blocks, *servers, **facts))


def crowd(num_blocks: int = 126, count: int = 200, seed: int = 1) -> Snapshot:
    """Many servers of all kinds, one of them with a name in wide letters."""
    chance = random.Random(seed)
    servers = []
    for number in range(count):
        start = chance.randrange(num_blocks)
        end = min(num_blocks, start + chance.randrange(1, 40))
        name = chance.choice(["", "alice", "a server of a rather long name", "服务器" * 8])
        state = chance.choice(["online"] * 8 + ["joining", "offline"])
        facts = {"public_name": name, "state": state, "reachable": chance.random() > 0.1}
        facts |= {"throughput": chance.random() * 10**7, "version": "2.3.0.dev2+rewind"}
        facts |= {"using_relay": chance.random() > 0.5, "inference_rps": chance.random() * 300}
        facts |= {"cache_tokens_left": 10**9, "torch_dtype": "bfloat16", "quant_type": "nf4"}
        servers.append(server(number, start, end, **facts))
    return snapshot(num_blocks, *servers).marked(["12D3KooWQzx9000003"])
