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
import functools
import json
import sys
import time
from pathlib import Path

from argument_types import dht_prefix, model_name, number, peer_address, whole_number
from chat_errors import as_ranges
from json_lines import ProtocolWriter
from light_program import FatalError, LightProgram, options_parser, run_program
from log_lines import runner_logger
from model_source import ModelError, derive_dht_prefix, hub_dht_prefix, resolve_model
from swarm_look import Looker, PrefixUnknownError, Target
from swarm_records import MAX_BLOCKS

CONNECT_TIMEOUT_S = 30.0
LOOK_TIMEOUT_S = 30.0
# Who stops should be seen to within 2 s, as far as looking takes little of the time.
SOONEST_S = 1.5
PAUSE_FOR_A_LOOK = 30.0
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


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = options_parser(__doc__)
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
    add("--period", type=number(0.5, 3600), default=5.0, help="seconds between two looks, at most")
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
        prefix = hub_dht_prefix(model, options.model_type)
    return Target(model, prefix, blocks)


def _blocks_of(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        value = config.get("num_hidden_layers") or config.get("n_layer")
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) and 0 < value <= MAX_BLOCKS else None


class Monitor(LightProgram):
    """Looks every few seconds, and at once when asked, until it is stopped."""

    def __init__(self, options: argparse.Namespace, writer: ProtocolWriter) -> None:
        super().__init__(writer)
        self._options = options
        self._soon = asyncio.Event()
        self._said = ""

    def take(self, kind: str) -> None:
        """Do not wait for the next look's time when a look is asked for."""
        if kind == "look":
            self._loop.call_soon_threadsafe(self._soon.set)

    async def work(self) -> None:
        """Look, again and again. Raises FatalError."""
        try:
            target = find_target(self._options)
        except ModelError as error:
            raise FatalError(error.code, str(error)) from error
        looker = await self._connect(target)
        self.tell("status", stage="looking")
        while True:
            started = time.monotonic()
            await self._look(looker)
            if self._options.once:
                return
            took = time.monotonic() - started
            period = min(self._options.period, max(SOONEST_S, took * PAUSE_FOR_A_LOOK))
            pause = max(0.0, period - took)
            try:
                async with asyncio.timeout(pause):
                    await self._soon.wait()
            except TimeoutError:
                continue
            self._soon.clear()

    async def _connect(self, target: Target) -> Looker:
        given = list(self._options.initial_peer or ())
        node_class = self.import_node_class()
        self.tell("status", stage="connecting")
        joining = Looker.join(node_class, given or list(PUBLIC_PEERS), target)
        where = ", ".join(given or ["the public swarm's peers"])
        late = f"The swarm cannot be reached: no answer from {where}."
        return await self.join(joining, given, CONNECT_TIMEOUT_S, late)

    async def _look(self, looker: Looker) -> None:
        began = time.time()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                found = await looker.look()
        except PrefixUnknownError as error:
            self.tell_error("model_unknown", str(error), fatal=False)
            return
        except Exception as error:
            if repr(error) != self._said:  # the same failure every few seconds would fill the log
                self._said = repr(error)
                logger.warning("The swarm cannot be looked at: %r", error)
            message = f"The swarm could not be looked at within {LOOK_TIMEOUT_S:.0f} s."
            if not isinstance(error, TimeoutError):
                message = f"The swarm could not be looked at: {' '.join(str(error).split())[:200]}"
            self.tell_error("look_failed", message, fatal=False)
            return
        self._said = ""
        served = {n for one in found.servers if one.served for n in range(one.start, one.end)}
        missing = [block for block in range(found.num_blocks) if block not in served]
        self.tell(
            "swarm",
            model=self._options.model_name,
            prefix=found.prefix,
            num_blocks=found.num_blocks,
            looked_at=round(began, 3),
            took_s=round(time.time() - began, 3),
            missing=as_ranges(missing),
            alone=found.alone,
            servers=[server.to_json() for server in found.servers],
        )


def main() -> int:
    """Run the monitor and return the exit code."""
    options = parse_options()
    return run_program(functools.partial(Monitor, options), reads_input=not options.once)


if __name__ == "__main__":
    sys.exit(main())
