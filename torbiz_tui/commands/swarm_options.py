"""The options of the commands about private swarms."""

from __future__ import annotations

from typing import Any

from torbiz_tui.commands.options import add_json, add_peers, add_setting, add_swarm_name


def add_swarms(command: Any) -> None:
    """Add `invite`, `swarms`, `bootstrap` and `reach`."""
    invite = command(
        "invite",
        "print what a friend needs to join your private swarm",
        "The code holds the model, its DHT prefix and addresses of peers, never a token.\n"
        "Given a code, it says what that holds and joins nothing.",
        "invite",
        "invite --code | xclip",
        "invite torbiz1-AE0EaG9tZQEL…",
    )
    invite.add_argument(
        "code_text", nargs="?", metavar="CODE", help="explain this code instead of making one"
    )
    form = invite.add_mutually_exclusive_group()
    form.add_argument("--code", action="store_true", help="print the code alone")
    form.add_argument(
        "--line", action="store_true", help="print the share command with all peers, without a code"
    )
    add_json(form)
    swarms = command(
        "swarms",
        "list the private swarms that this machine has been part of",
        "They are kept with their last peers: `share --swarm NAME` and `ask --swarm NAME` find\n"
        "them again, and one that began here keeps its address.",
        "swarms",
        "swarms --json",
        "swarms forget home",
    )
    swarms.add_argument(
        "action", nargs="?", choices=("list", "forget"), default="list", metavar="ACTION",
        help="list (default) or forget",
    )  # fmt: skip
    swarms.add_argument("name", nargs="?", metavar="NAME", help="the swarm to forget")
    add_json(swarms)
    bootstrap = command(
        "bootstrap",
        "run a node of a private swarm that serves no blocks, until Ctrl-C",
        "Peers find each other through it: it can run on a small machine that everybody reaches,\n"
        "and hold the swarm together while servers come and go. It keeps its address.",
        "bootstrap --swarm friends",
        "bootstrap --swarm friends --port 31400",
        "bootstrap --join torbiz1-AE0EaG9tZQEL…",
    )
    add_setting(bootstrap, "share.port", "N")
    add_peers(bootstrap)
    add_swarm_name(bootstrap, "name of the swarm: a known one, or one that begins here")
    bootstrap.add_argument(
        "--json", action="store_true", help="print the invite as one JSON object"
    )
    reach = command(
        "reach",
        "test whether other peers of the private swarm can dial this machine's server",
        "The others are asked to try it, and it is said which port to forward if they cannot.\n"
        "Exit code: 0 they can, 1 they cannot, or nobody else is there to try.",
        "reach",
        "reach --json",
    )
    add_json(reach)
