"""The options of `swarm`."""

from __future__ import annotations

import argparse
from typing import Any

from torbiz_tui.commands.options import (
    add_json,
    add_peers,
    add_setting,
    add_swarm_name,
    seconds_up_to,
)

TIMEOUT_S = 60.0


def add_swarm(command: Any) -> None:
    """Add `swarm`."""
    swarm = command(
        "swarm",
        "show block by block who serves a model",
        "A picture of the blocks and a table of the servers: what they announce in the swarm,\n"
        "and whether they answer. Own blocks are marked with @. It joins the swarm as a light\n"
        "client of its DHT and loads no model.\n"
        "Exit code: 0 every block is served, 1 failed, 5 blocks are missing, 130 interrupted.",
        "swarm torbiz-demo",
        "swarm petals-team/StableBeluga2 --watch",
        "swarm my-model --initial-peer /ip4/192.0.2.7/tcp/31337/p2p/Qm… --json",
    )
    # A setting, as --model is: a swarm that holds several models needs to know which is meant.
    swarm.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        default=argparse.SUPPRESS,
        help="the model (default: the configured one, else the one that is hosted here)",
    )
    add_setting(swarm, "model", "M")
    add_peers(swarm)
    add_swarm_name(swarm, "look at a known private swarm (see `torbiz-tui swarms`)")
    add_json(swarm)
    swarm.add_argument(
        "--watch",
        action="store_true",
        help="look again every few seconds until Ctrl-C; with --json a line for each look",
    )
    swarm.add_argument(
        "--timeout",
        type=seconds_up_to(1e5),
        default=TIMEOUT_S,
        metavar="S",
        help=f"give up when the first look takes longer than S seconds (default: {TIMEOUT_S:g})",
    )
