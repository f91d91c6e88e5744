"""A node of a private swarm that serves no blocks: peers find each other through it.

It imports neither torch nor Petals. Events on stdout, JSON lines: `{"type":"status","stage":...}`
(importing, connecting), `{"type":"ready","peer_id","addresses"}` once it can be joined,
`{"type":"peers","count"}` whenever more or fewer peers are known, and
`{"type":"error","code","message","fatal"}`. It ends with its input, with `{"type":"shutdown"}`, or
with SIGTERM. Exit codes: 0 ended as asked, 1 error, 2 bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import process_signals
from argument_types import OneSentenceParser, address, number, peer_address, whole_number
from chat_errors import explain_connect_error
from json_lines import ProtocolWriter, read_lines
from log_lines import runner_logger
from seeder_options import listening_addresses, port_in_use

STOP_DEADLINE_S = 3.0
START_TIMEOUT_S = 60.0
REJOIN_TIMEOUT_S = 5.0

logger = runner_logger()


class _Fatal(Exception):
    """The node cannot go on; the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = OneSentenceParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--port", type=whole_number(0, 65535), help="on all interfaces (default: a free one)")
    add("--host-maddr", action="append", type=address, help="listen here instead; repeatable")
    add("--announce-maddr", action="append", type=address, help="address to tell; repeatable")
    add("--initial-peer", action="append", type=peer_address, help="of a swarm; repeatable")
    add("--identity", type=Path, help="file with this node's key; created when missing")
    add("--period", type=number(0.1, 3600), default=10.0, help="seconds between two looks")
    return parser.parse_args(arguments)


class Bootstrap:
    """The node, until it is stopped."""

    def __init__(self, options: argparse.Namespace, writer: ProtocolWriter) -> None:
        self._options = options
        self._writer = writer
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """End soon; from any thread, also from a signal's handler."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self) -> int:
        """Return the exit code."""
        work = asyncio.ensure_future(self._work())
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return 0
        try:
            work.result()
        except _Fatal as error:
            logger.error("%s", error)
            event = {"type": "error", "code": error.code, "message": str(error), "fatal": True}
            self._writer.write(event)
            return 1
        return 0

    async def _work(self) -> None:
        maddrs = listening_addresses(self._options)
        if port := port_in_use(maddrs):
            raise _Fatal("port_taken", f"Port {port} is already in use: choose another one.")
        self._writer.write({"type": "status", "stage": "importing"})
        try:
            from light_hivemind import import_dht_node

            node_class = import_dht_node()
            from swarm_reachability import serve_reachability
        except Exception as error:
            traceback.print_exc()
            raise _Fatal("internal", f"hivemind cannot be imported: {error}") from error
        self._writer.write({"type": "status", "stage": "connecting"})
        node = await self._start(node_class, maddrs)
        addresses = [str(one) for one in await node.get_visible_maddrs()]
        logger.info("The bootstrap node is reached at %s", addresses)
        ready = {"type": "ready", "peer_id": str(node.peer_id), "addresses": addresses}
        async with serve_reachability(node.p2p, addresses):
            self._writer.write(ready)
            await self._look_after(node)

    async def _start(self, node_class: Any, maddrs: list[str]) -> Any:
        options = self._options
        peers = list(options.initial_peer or ())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await node_class.create(
                    initial_peers=peers,
                    host_maddrs=maddrs,
                    announce_maddrs=options.announce_maddr,
                    identity_path=str(options.identity) if options.identity else None,
                    startup_timeout=START_TIMEOUT_S,
                )
        except TimeoutError:
            text = f"It has not started after {START_TIMEOUT_S:.0f} s."
            raise _Fatal("connection_failed", text) from None
        except Exception as error:
            known = explain_connect_error(error, peers)
            if known.code == "internal":
                traceback.print_exc()
            raise _Fatal(known.code, str(known)) from error

    async def _look_after(self, node: Any) -> None:
        """Tell how many peers there are, and join again when all have gone."""
        from swarm_rejoining import rejoin_if_alone

        peers = list(self._options.initial_peer or ())
        told = -1
        while True:
            count = len(node.protocol.routing_table.uid_to_peer_id)
            if count != told:
                told = count
                self._writer.write({"type": "peers", "count": count})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REJOIN_TIMEOUT_S + 1):
                    await rejoin_if_alone(None, node, peers=peers, timeout_s=REJOIN_TIMEOUT_S)
            await asyncio.sleep(self._options.period)


async def _main(options: argparse.Namespace, writer: ProtocolWriter) -> int:
    bootstrap = Bootstrap(options, writer)
    writer.on_broken = bootstrap.stop
    process_signals.install_stop_handlers(lambda _signum: bootstrap.stop(), STOP_DEADLINE_S)

    def read() -> None:
        for line in read_lines(0):
            try:
                if json.loads(line)["type"] == "shutdown":
                    break
            except (ValueError, TypeError, KeyError, RecursionError):
                logger.warning("Skipped a line that is not a JSON object with a type")
        bootstrap.stop()

    threading.Thread(target=read, name="stdin", daemon=True).start()
    code = await bootstrap.run()
    sys.stderr.flush()
    # Cancelling what hivemind has in progress prints tracebacks and takes its time.
    process_signals.end_now(code)
    return code


def main() -> int:
    """Run the node and return the exit code."""
    options = parse_options()
    process_signals.tell_of_crashes()
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()
    return asyncio.run(_main(options, writer))


if __name__ == "__main__":
    sys.exit(main())
