"""Tells block by block who serves a model, every few seconds, as JSON lines on stdout.

A light client of the swarm's DHT: it imports neither torch nor Petals, stores nothing in the DHT,
and asks servers only whether they answer. Events: `{"type":"status","stage":...}` (importing,
connecting, looking), then `{"type":"swarm",...}` with each look, and
`{"type":"error","code","message","fatal"}`. It ends with its input, with
`{"type":"shutdown"}`, or with SIGTERM. `{"type":"look"}` asks for a look at once.
Exit codes: 0 ended as asked, 1 error, 2 bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import process_signals
from argument_types import (
    OneSentenceParser,
    dht_prefix,
    model_name,
    number,
    peer_address,
    whole_number,
)
from chat_errors import as_ranges, explain_connect_error
from json_lines import ProtocolWriter, read_lines
from log_lines import runner_logger
from model_source import ModelError, derive_dht_prefix, resolve_model
from swarm_look import Looker, PrefixUnknownError, Target
from swarm_records import MAX_BLOCKS

STOP_DEADLINE_S = 3.0
CONNECT_TIMEOUT_S = 30.0
LOOK_TIMEOUT_S = 30.0
# Petals' own list (petals/constants.py), which cannot be imported without torch.
PUBLIC_PEERS = (
    "/dns/bootstrap1.petals.dev/tcp/31337/p2p/QmedTaZXmULqwspJXz44SsPZyTNKxhnnFvYRajfH7MGhCY",
    "/dns/bootstrap2.petals.dev/tcp/31338/p2p/QmQGTqmM7NKjV6ggU1ZCap8zWiyKR89RViDXiqehSiCpY5",
    "/dns6/bootstrap1.petals.dev/tcp/31337/p2p/QmedTaZXmULqwspJXz44SsPZyTNKxhnnFvYRajfH7MGhCY",
    "/dns6/bootstrap2.petals.dev/tcp/31338/p2p/QmQGTqmM7NKjV6ggU1ZCap8zWiyKR89RViDXiqehSiCpY5",
    "/ip4/159.89.214.152/tcp/31337/p2p/QmedTaZXmULqwspJXz44SsPZyTNKxhnnFvYRajfH7MGhCY",
    "/ip4/159.203.156.48/tcp/31338/p2p/QmQGTqmM7NKjV6ggU1ZCap8zWiyKR89RViDXiqehSiCpY5",
)

logger = runner_logger()


class _Fatal(Exception):
    """The monitor cannot go on; the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = OneSentenceParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model-name", required=True, type=model_name, help="hub id or local folder")
    add("--dht-prefix", type=dht_prefix, help="name of the blocks in the swarm (default: derived)")
    add(
        "--model-type",
        choices=("bloom", "falcon", "llama", "mixtral"),
        help="to derive the prefix of",
    )
    add("--num-blocks", type=whole_number(1, MAX_BLOCKS), help="default: what servers say")
    add("--initial-peer", action="append", type=peer_address, help="repeatable; none: public swarm")
    add("--period", type=number(0.5, 3600), default=5.0, help="seconds between two looks")
    add("--once", action="store_true", help="one look, then leave")
    return parser.parse_args(arguments)


def find_target(options: argparse.Namespace) -> Target:
    """What is to be looked for. Raises ModelError."""
    model = resolve_model(options.model_name)
    prefix, blocks = options.dht_prefix, options.num_blocks
    if Path(model).is_dir():
        prefix = prefix or derive_dht_prefix(model)
        blocks = blocks or _blocks_of(Path(model))
    elif prefix is None and options.model_type is not None:
        prefix = _hub_prefix(model, options.model_type)
    return Target(model, prefix, blocks)


def _blocks_of(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        value = config.get("num_hidden_layers") or config.get("n_layer")
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) and 0 < value <= MAX_BLOCKS else None


def _hub_prefix(model: str, model_type: str) -> str:
    """Name the blocks of a hub model as the configurations of petals.models do."""
    if model_type == "bloom":
        return f"{model}-petals".replace(".", "-")
    name = model.split("/")[-1].replace(".", "-")
    return f"{name}-hf" if model_type == "llama" and not name.endswith("-hf") else name


class Monitor:
    """Looks every few seconds, and at once when asked, until it is stopped."""

    def __init__(self, options: argparse.Namespace, writer: ProtocolWriter) -> None:
        self._options = options
        self._writer = writer
        self._stopping = asyncio.Event()
        self._soon = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._said = ""

    def stop(self) -> None:
        """End soon; from any thread, also from a signal's handler."""
        self._loop.call_soon_threadsafe(self._end)

    def look_soon(self) -> None:
        """Do not wait for the next look's time; from any thread."""
        self._loop.call_soon_threadsafe(self._soon.set)

    def _end(self) -> None:
        self._stopping.set()
        self._soon.set()

    async def run(self) -> int:
        """Return the exit code."""
        work = asyncio.ensure_future(self._work())
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return 0
        try:
            work.result()
        except (_Fatal, ModelError) as error:
            logger.error("%s", error)
            self._tell(error.code, str(error), fatal=True)
            return 1
        return 0

    async def _work(self) -> None:
        target = find_target(self._options)
        self._writer.write({"type": "status", "stage": "importing"})
        looker = await self._connect(target)
        self._writer.write({"type": "status", "stage": "looking"})
        while not self._stopping.is_set():
            started = time.monotonic()
            await self._look(looker)
            if self._options.once:
                return
            pause = max(0.0, self._options.period - (time.monotonic() - started))
            try:
                async with asyncio.timeout(pause):
                    await self._soon.wait()
            except TimeoutError:
                continue
            self._soon.clear()

    async def _connect(self, target: Target) -> Looker:
        peers = list(self._options.initial_peer or PUBLIC_PEERS)
        try:
            from light_hivemind import import_dht_node

            node = import_dht_node()
        except Exception as error:
            traceback.print_exc()
            raise _Fatal("internal", f"hivemind cannot be imported: {error}") from error
        self._writer.write({"type": "status", "stage": "connecting"})
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await Looker.join(node, peers, target)
        except TimeoutError:
            where = ", ".join(self._options.initial_peer or ["the public swarm's peers"])
            message = f"The swarm cannot be reached: no answer from {where}."
            raise _Fatal("connection_failed", message) from None
        except Exception as error:
            known = explain_connect_error(error, self._options.initial_peer or [])
            if known.code == "internal":
                traceback.print_exc()
            raise _Fatal(known.code, str(known)) from error

    async def _look(self, looker: Looker) -> None:
        began = time.time()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                found = await looker.look()
        except PrefixUnknownError as error:
            self._tell("model_unknown", str(error), fatal=False)
            return
        except Exception as error:
            if repr(error) != self._said:  # the same failure every few seconds would fill the log
                self._said = repr(error)
                logger.warning("The swarm cannot be looked at: %r", error)
            message = f"The swarm could not be looked at within {LOOK_TIMEOUT_S:.0f} s."
            if not isinstance(error, TimeoutError):
                message = f"The swarm could not be looked at: {' '.join(str(error).split())[:200]}"
            self._tell("look_failed", message, fatal=False)
            return
        self._said = ""
        served = {n for one in found.servers if one.served for n in range(one.start, one.end)}
        missing = [block for block in range(found.num_blocks) if block not in served]
        self._writer.write(
            {
                "type": "swarm",
                "model": self._options.model_name,
                "prefix": found.prefix,
                "num_blocks": found.num_blocks,
                "looked_at": round(began, 3),
                "took_s": round(time.time() - began, 3),
                "missing": as_ranges(missing),
                "alone": found.alone,
                "servers": [server.to_json() for server in found.servers],
            }
        )

    def _tell(self, code: str, message: str, *, fatal: bool) -> None:
        event: dict[str, Any] = {"type": "error", "code": code, "message": message}
        self._writer.write(event | {"fatal": fatal})


async def _main(options: argparse.Namespace, writer: ProtocolWriter) -> int:
    monitor = Monitor(options, writer)
    writer.on_broken = monitor.stop
    process_signals.install_stop_handlers(lambda _signum: monitor.stop(), STOP_DEADLINE_S)

    def read() -> None:
        for line in read_lines(0):
            try:
                kind = json.loads(line)["type"]
            except (ValueError, TypeError, KeyError, RecursionError):
                logger.warning("Skipped a line that is not a JSON object with a type")
                continue
            if kind == "shutdown":
                break
            if kind == "look":
                monitor.look_soon()
        monitor.stop()

    if not options.once:
        threading.Thread(target=read, name="stdin", daemon=True).start()
    return await monitor.run()


def main() -> int:
    """Run the monitor and return the exit code."""
    options = parse_options()
    process_signals.tell_of_crashes()
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()
    return asyncio.run(_main_until_done(options, writer))


async def _main_until_done(options: argparse.Namespace, writer: ProtocolWriter) -> int:
    code = await _main(options, writer)
    sys.stderr.flush()
    # Cancelling what hivemind has in progress prints tracebacks and takes its time.
    process_signals.end_now(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
