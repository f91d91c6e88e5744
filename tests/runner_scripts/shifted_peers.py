"""Peers of a swarm whose clocks are wrong, until the input ends.

    python shifted_peers.py RUNNER_SCRIPTS SHIFT_S COUNT HOST INITIAL_PEER

Run with a Python that has hivemind. It prints their addresses as a JSON list once they have joined.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time


async def main(shift_s: float, count: int, host: str, peer: str) -> None:
    node_class = importlib.import_module("light_hivemind").import_dht_node()
    # What they answer who asks for the time.
    protocol = importlib.import_module("hivemind.dht.protocol")
    protocol.get_dht_time = lambda: time.time() + shift_s  # type: ignore[attr-defined]
    addresses = []
    for _ in range(count):
        # By itself hivemind would not join with such a clock.
        node = await node_class.create(
            initial_peers=[peer], host_maddrs=[f"/ip4/{host}/tcp/0"], strict=False
        )
        addresses.append(str((await node.get_visible_maddrs())[0]))
    print(json.dumps(addresses), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    importlib.import_module("process_signals").tie_children_to_this_process()
    asyncio.run(main(float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]))
    sys.stdout.flush()
    os._exit(0)
