"""Finding a known swarm again, and what a guest of a swarm has to know."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.catalogue import DEMO_MODEL
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths, shown
from torbiz_tui.private_swarms import dialling
from torbiz_tui.private_swarms.invite import Invite
from torbiz_tui.private_swarms.known import NO_NAME, KnownSwarm
from torbiz_tui.private_swarms.peer_address import Reach, read_peer, whole_peers, widest_reach

# "swarm-2" where another swarm had the name already.
_NAMELESS = re.compile(rf"{NO_NAME}(?:-\d+)?")


@dataclass(frozen=True)
class FoundSwarm:
    """The peers of a known swarm that take connections now.

    `begins`: none does, and it begins anew with this machine; `note` says so where there were
    others.
    """

    peers: tuple[str, ...] = ()
    begins: bool = False
    note: str = ""


def find_again(swarm: KnownSwarm, *, hosting: bool) -> FoundSwarm:
    """Dial the peers that were there last; it blocks for 3 s at most.

    Who hosts does not join through this machine's own address, and may begin anew a swarm that
    began here. Raises TorbizError (`swarm_not_found`) when nobody answers.
    """
    own = {peer.rpartition("/p2p/")[2] for peer in swarm.own} if hosting else set()
    others = [peer for peer in swarm.peers if peer.rpartition("/p2p/")[2] not in own]
    mine = [] if hosting else list(swarm.own)
    if found := dialling.answering([*mine, *others]):
        return FoundSwarm(found)
    if hosting and swarm.started_here:
        nobody = (
            f"None of the other peers of {swarm.name} answers: it begins anew with this machine."
        )
        return FoundSwarm(begins=True, note=nobody if others else "")
    seen = time.strftime("%Y-%m-%d %H:%M", time.localtime(swarm.last_seen))
    raise TorbizError(
        f"None of the {len(mine) + len(others)} known addresses of the swarm {swarm.name} answers.",
        why=f"It was last seen at {seen}.",
        remedy="Ask whoever runs it for a fresh invite code (`torbiz-tui invite`).",
        code="swarm_not_found",
    )


def joined_before(
    swarms: Iterable[KnownSwarm], joined: Sequence[str], name: str
) -> KnownSwarm | None:
    """The known swarm that somebody is part of who joins through these peers, or has no peers.

    Peers tell it from others, whatever it is called. Who joins through nobody gives its name: two
    swarms must not become one because both have none.
    """
    given = {read_peer(text).peer_id for text in whole_peers(joined)}
    for swarm in swarms:
        if given and given & swarm.identities:
            return swarm
        if not given and (swarm.name == name if name else _began_nameless(swarm)):
            return swarm
    return None


def _began_nameless(swarm: KnownSwarm) -> bool:
    return swarm.started_here and _NAMELESS.fullmatch(swarm.name) is not None


def notes_for_guest(invite: Invite) -> list[str]:
    """What whoever has got this invite should know before it is used."""
    if widest_reach(invite.peers) is Reach.LOOPBACK:
        return [
            "The invite holds only addresses of the machine that it was made on (loopback):"
            " it works on that machine alone."
        ]
    return []


def require_at_hand(name: str, paths: Paths) -> None:
    """A model without an owner is none of the hub: it has to lie here already.

    Raises UsageError (`model_not_here`) when it does not.
    """
    if "/" in name or name == DEMO_MODEL:
        return
    if any((folder / "config.json").is_file() for folder in (Path(name), paths.models / name)):
        return
    raise UsageError(
        f"The swarm serves {name}, a model that its owner keeps in a folder.",
        why="No hub has it, and there is no copy of it here.",
        remedy=f"Get the folder from whoever invited you and put it in"
        f" {shown(paths.models / name)}, or name where it is (--model, or share FOLDER).",
        code="model_not_here",
    )
