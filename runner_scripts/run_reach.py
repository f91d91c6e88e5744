"""Asks the peers of a private swarm whether they can dial one of them; one look, as JSON lines.

It imports neither torch nor Petals. Events on stdout: `{"type":"status","stage":...}` (importing,
connecting, asking), then `{"type":"reach","listens","others":[{"peer","reached"}]}`, where `listens`
says whether the peer answers this machine, and `reached` is null for a peer that did not tell; or
`{"type":"error","code","message","fatal"}`. Exit codes: 0 asked, 1 error, 2 bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from typing import Any

import process_signals
from argument_types import OneSentenceParser, peer_address, whole_number
from chat_errors import explain_connect_error
from json_lines import ProtocolWriter
from log_lines import runner_logger

STOP_DEADLINE_S = 3.0
CONNECT_TIMEOUT_S = 30.0
ASK_TIMEOUT_S = 30.0

logger = runner_logger()


class _Fatal(Exception):
    """Nobody can be asked; the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = OneSentenceParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--peer", required=True, type=peer_address, help="the one that is to be dialled")
    add("--initial-peer", action="append", type=peer_address, help="further peers; repeatable")
    add("--max-peers", type=whole_number(1, 50), default=5, help="how many are asked")
    return parser.parse_args(arguments)


async def look(options: argparse.Namespace, writer: ProtocolWriter) -> dict[str, Any]:
    """Ask, and return the event that says what came out. Raises _Fatal."""
    writer.write({"type": "status", "stage": "importing"})
    try:
        from light_hivemind import import_dht_node

        node_class = import_dht_node()
        from hivemind.p2p import PeerID

        from swarm_reachability import ReachabilityProtocol
    except Exception as error:
        traceback.print_exc()
        raise _Fatal("internal", f"hivemind cannot be imported: {error}") from error
    writer.write({"type": "status", "stage": "connecting"})
    peers = [options.peer, *(options.initial_peer or ())]
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            node = await node_class.create(
                initial_peers=peers, client_mode=True, nat_port_map=False
            )
    except TimeoutError:
        raise _Fatal("connection_failed", f"No answer from {', '.join(peers)}.") from None
    except Exception as error:
        known = explain_connect_error(error, peers)
        raise _Fatal(known.code, str(known)) from error
    writer.write({"type": "status", "stage": "asking"})
    wanted = PeerID.from_base58(options.peer.rpartition("/p2p/")[2])
    protocol = ReachabilityProtocol(node.p2p)
    known_peers = node.protocol.routing_table.peer_id_to_uid
    others = [peer for peer in known_peers if peer != wanted][: options.max_peers]
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            answers = await asyncio.gather(
                *(protocol.call_check(peer, wanted) for peer in [wanted, *others])
            )
    except TimeoutError:
        raise _Fatal("timeout", "The peers have not answered in time.") from None
    listens, *reached = answers
    return {
        "type": "reach",
        "listens": listens is True,
        "others": [
            {"peer": str(peer), "reached": answer}
            for peer, answer in zip(others, reached, strict=True)
        ],
    }


async def _main(options: argparse.Namespace, writer: ProtocolWriter) -> int:
    code = 0
    try:
        writer.write(await look(options, writer))
    except _Fatal as error:
        logger.error("%s", error)
        event = {"type": "error", "code": error.code, "message": str(error), "fatal": True}
        writer.write(event)
        code = 1
    sys.stderr.flush()
    # Cancelling what hivemind has in progress prints tracebacks and takes its time.
    process_signals.end_now(code)
    return code


def main() -> int:
    """Ask once and return the exit code."""
    options = parse_options()
    process_signals.tell_of_crashes()
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()
    process_signals.install_stop_handlers(
        lambda _signum: process_signals.end_now(0), STOP_DEADLINE_S
    )
    return asyncio.run(_main(options, writer))


if __name__ == "__main__":
    sys.exit(main())
