"""Asks the peers of a private swarm whether they can dial one of them; one look, as JSON lines.

It imports neither torch nor Petals. Events on stdout: `{"type":"status","stage":...}` (importing,
connecting, asking), then `{"type":"reach","listens","others":[{"peer","reached"}],"clock"}`, where
`listens` says whether the peer answers this machine, `reached` is null for a peer that did not tell,
and `clock` says what is wrong with this machine's clock or a peer's, or is empty; or `{"type":"error","code","message","fatal"}`. Exit codes: 0 asked, 1 error, 2 bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys

from argument_types import peer_address, whole_number
from clock_check import ask_clocks, judge
from json_lines import ProtocolWriter
from light_program import FatalError, LightProgram, options_parser, run_program

CONNECT_TIMEOUT_S = 30.0
ASK_TIMEOUT_S = 30.0


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = options_parser(__doc__)
    add = parser.add_argument
    add("--peer", required=True, type=peer_address, help="the one that is to be dialled")
    add("--initial-peer", action="append", type=peer_address, help="further peers; repeatable")
    add("--max-peers", type=whole_number(1, 50), default=5, help="how many are asked")
    return parser.parse_args(arguments)


class Reach(LightProgram):
    """One look."""

    def __init__(self, options: argparse.Namespace, writer: ProtocolWriter) -> None:
        super().__init__(writer)
        self._options = options

    async def work(self) -> None:
        """Ask, and tell what came out. Raises FatalError."""
        options = self._options
        node_class = self.import_node_class()
        from hivemind.p2p import PeerID

        from swarm_reachability import ReachabilityProtocol

        self.tell("status", stage="connecting")
        peers = [options.peer, *(options.initial_peer or ())]
        # What is wrong with a clock is told below, and no reason not to look.
        how = {"client_mode": True, "nat_port_map": False, "strict": False}
        joining = node_class.create(initial_peers=peers, **how)
        late = f"No answer from {', '.join(peers)}."
        node = await self.join(joining, peers, CONNECT_TIMEOUT_S, late)
        self.tell("status", stage="asking")
        wanted = PeerID.from_base58(options.peer.rpartition("/p2p/")[2])
        protocol = ReachabilityProtocol(node.p2p)
        known_peers = node.protocol.routing_table.peer_id_to_uid
        others = [peer for peer in known_peers if peer != wanted][: options.max_peers]
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                listens, *reached = await asyncio.gather(
                    *(protocol.call_check(peer, wanted) for peer in [wanted, *others])
                )
                clocks = judge(await ask_clocks(None, node, skip={str(wanted)}))
        except TimeoutError:
            raise FatalError("timeout", "The peers have not answered in time.") from None
        self.tell(
            "reach",
            listens=listens is True,
            others=[
                {"peer": str(peer), "reached": answer}
                for peer, answer in zip(others, reached, strict=True)
            ],
            clock=clocks.text,
        )


def main() -> int:
    """Ask once and return the exit code."""
    return run_program(functools.partial(Reach, parse_options()), reads_input=False)


if __name__ == "__main__":
    sys.exit(main())
