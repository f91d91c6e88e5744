"""What others need to join the swarm of the hosted server, and remembering that swarm."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.catalogue import DEMO_MODEL
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.errors import UsageError
from torbiz_tui.private_swarms.invite import Invite, encode, invited_model, make_invite
from torbiz_tui.private_swarms.known import MAX_KEPT_PEERS, KnownModel, KnownSwarm, named_after
from torbiz_tui.private_swarms.peer_address import Reach, whole_peers, widest_reach
from torbiz_tui.sharing.state import Phase, SharingState

_PROGRAM = "torbiz-tui"


def is_private(spec: ServerSpec) -> bool:
    """Whether the server is in a private swarm."""
    return spec.new_swarm or bool(spec.initial_peers)


def folder_of(spec: ServerSpec) -> str:
    """The folder of a model of one's own; empty for one of the hub, and for the demo."""
    own = Path(spec.source).is_absolute() and spec.model != DEMO_MODEL
    return spec.source if own else ""


def ask_line(model: str, revision: str = "", peers: Iterable[str] = ()) -> str:
    """The command that asks the model, through these peers of a private swarm."""
    at = ["--revision", revision] if revision else []
    return shlex.join([_PROGRAM, "ask", "--model", model, *at, *_through(peers)])


def share_line(model: str, revision: str = "", peers: Iterable[str] = ()) -> str:
    """The command that hosts more of the model, the same weights, with these peers."""
    at = ["--petals", f"revision={revision}"] if revision else []
    return shlex.join([_PROGRAM, "share", model, *at, *_through(peers)])


def _through(peers: Iterable[str]) -> list[str]:
    return [word for peer in peers for word in ("--initial-peer", peer)]


def invite_of(state: SharingState) -> Invite | None:
    """The invite to the hosted server's swarm; None in the public one.

    Raises UsageError (`no_address`) while its addresses are not known.
    """
    spec = state.spec
    if spec is None or not is_private(spec):
        return None
    model = invited_model(spec.model, spec.dht_prefix, spec.revision)
    # Who was there before us may be there after us.
    return make_invite((*state.addresses, *spec.initial_peers), (model,), spec.swarm_name)


@dataclass(frozen=True)
class Offer:
    """Something to copy for others: `title` completes "Copy …"."""

    key: str
    title: str
    text: str


def offers(state: SharingState) -> tuple[Offer, ...]:
    """What can be given to others now, the best first; empty while there is no address."""
    if state.spec is None or not state.active or not state.addresses:
        return ()
    address = Offer("address", "the invite address", state.addresses[0])
    if not is_private(state.spec):
        line = ask_line(state.spec.model, state.spec.revision)
        return address, Offer("ask", "the line to ask it", line)
    code = invite_code(state)
    if not code:
        return (address,)
    return (
        Offer("code", "the invite code", code),
        Offer("share", "the line to host more of it", f"{_PROGRAM} share --join {code}"),
        Offer("ask", "the line to ask it", f"{_PROGRAM} ask --join {code}"),
        address,
    )


def invite_code(state: SharingState) -> str:
    """The code that invites to the server's private swarm; empty where there is none."""
    try:
        invite = invite_of(state)
        return encode(invite) if invite is not None else ""
    except UsageError:
        return ""


def reach_note(state: SharingState) -> str:
    """Who cannot use the addresses; empty where everybody may."""
    try:
        invite = invite_of(state)
    except UsageError:
        return ""
    reach = widest_reach(invite.peers) if invite is not None else None
    return (
        {
            Reach.LOOPBACK: "only this machine reaches it",
            Reach.LOCAL_NETWORK: "only your own network reaches it",
        }.get(reach, "")
        if reach is not None
        else ""
    )


def swarm_of(state: SharingState) -> KnownSwarm | None:
    """What is to be remembered of a server that serves; None when that is nothing."""
    spec = state.spec
    if spec is None or state.phase is not Phase.SERVING or not is_private(spec):
        return None
    models = (KnownModel(spec.model, spec.dht_prefix, folder_of(spec), spec.revision),)
    own = whole_peers(state.addresses)
    identities = {peer.rpartition("/p2p/")[2] for peer in own}
    others = [
        peer
        for peer in whole_peers((*spec.initial_peers, *state.peers_seen))
        if peer.rpartition("/p2p/")[2] not in identities
    ]
    if not own and not others:
        return None
    return KnownSwarm(
        spec.swarm_name or named_after(models),
        models,
        tuple(others[:MAX_KEPT_PEERS]),
        own,
        spec.new_swarm,
        time.time(),
    )
