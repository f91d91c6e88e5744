"""A node of a private swarm that serves no blocks: peers find each other through it.

It imports neither torch nor Petals. Events on stdout, JSON lines: `{"type":"status","stage":...}`
(importing, connecting), `{"type":"ready","peer_id","addresses"}` once it can be joined,
`{"type":"peers","count","addresses"}` whenever others are known than before (addresses of some of
them), and `{"type":"error","code","message","fatal"}`. It ends with its input, with `{"type":"shutdown"}`, or
with SIGTERM. Exit codes: 0 ended as asked, 1 error, 2 bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import sys
import time
from pathlib import Path
from typing import Any

from argument_types import address, number, peer_address, whole_number
from clock_check import ClockWatch, ask_clocks
from json_lines import ProtocolWriter
from light_program import FatalError, LightProgram, options_parser, run_program
from log_lines import runner_logger
from met_peers import MetPeers
from peer_addresses import seen_peers
from seeder_options import listening_addresses, port_in_use
from staying_joined import TELL_AGAIN_S, ask_absent
from swarm_rejoining import ask_peer

START_TIMEOUT_S = 60.0
REJOIN_TIMEOUT_S = 5.0

logger = runner_logger()


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = options_parser(__doc__)
    add = parser.add_argument
    add("--port", type=whole_number(0, 65535), help="on all interfaces (default: a free one)")
    add("--host-maddr", action="append", type=address, help="listen here instead; repeatable")
    add("--announce-maddr", action="append", type=address, help="address to tell; repeatable")
    add("--initial-peer", action="append", type=peer_address, help="of a swarm; repeatable")
    add("--known-peer", action="append", type=peer_address, help="was in it before; repeatable")
    add("--identity", type=Path, help="file with this node's key; created when missing")
    add("--period", type=number(0.1, 3600), default=10.0, help="seconds between two looks")
    return parser.parse_args(arguments)


class Bootstrap(LightProgram):
    """The node, until it is stopped."""

    def __init__(self, options: argparse.Namespace, writer: ProtocolWriter) -> None:
        super().__init__(writer)
        self._options = options

    async def work(self) -> None:
        """Listen, tell where, and look after the swarm. Raises FatalError."""
        maddrs = listening_addresses(self._options)
        if port := port_in_use(maddrs):
            raise FatalError("port_taken", f"Port {port} is already in use: choose another one.")
        node_class = self.import_node_class()
        from swarm_reachability import serve_reachability

        self.tell("status", stage="connecting")
        node = await self._start(node_class, maddrs)
        addresses = [str(one) for one in await node.get_visible_maddrs()]
        logger.info("The bootstrap node is reached at %s", addresses)
        async with serve_reachability(node.p2p, addresses):
            self.tell("ready", peer_id=str(node.peer_id), addresses=addresses)
            await self._call_known(node)
            await self._look_after(node)

    async def _start(self, node_class: Any, maddrs: list[str]) -> Any:
        options = self._options
        peers = list(options.initial_peer or ())
        starting = node_class.create(
            initial_peers=peers,
            host_maddrs=maddrs,
            announce_maddrs=options.announce_maddr,
            identity_path=str(options.identity) if options.identity else None,
            startup_timeout=START_TIMEOUT_S,
        )
        late = f"It has not started after {START_TIMEOUT_S:.0f} s."
        return await self.join(starting, peers, START_TIMEOUT_S, late)

    async def _call_known(self, node: Any) -> None:
        """Join those who were in the swarm before; it begins without whoever is gone."""
        own = str(node.peer_id)
        peers = [one for one in self._options.known_peer or () if not one.endswith(own)]
        if not peers:
            return
        answers = await asyncio.gather(*(ask_peer(node, peer, REJOIN_TIMEOUT_S) for peer in peers))
        logger.info("%d of %d addresses known from before answer", sum(answers), len(peers))

    async def _look_after(self, node: Any) -> None:
        """Tell which peers there are, and ask those that have gone."""
        peers = list(self._options.initial_peer or ())
        met = MetPeers()
        met.take(self._options.known_peer or ())
        clocks = ClockWatch()
        told: tuple[int, list[str], int] | None = None
        while True:
            addresses = await seen_peers(None, node, timeout_s=REJOIN_TIMEOUT_S)
            met.take(addresses)
            count = len(node.protocol.routing_table.uid_to_peer_id)
            # Now and then also what has not changed: the app notes when a peer was there last.
            now = count, addresses, int(time.monotonic() // TELL_AGAIN_S)
            if now != told:
                told = now
                self.tell("peers", count=count, addresses=addresses)
            absent = [*peers, *met.addresses()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REJOIN_TIMEOUT_S + 1):
                    await ask_absent(None, node, peers=absent, timeout_s=REJOIN_TIMEOUT_S)
            clocks.take(await ask_clocks(None, node, skip=clocks.asked_lately))
            await asyncio.sleep(self._options.period)


def main() -> int:
    """Run the node and return the exit code."""
    return run_program(functools.partial(Bootstrap, parse_options()))


if __name__ == "__main__":
    sys.exit(main())
