"""What others need to join the swarm of the hosted server, and remembering that swarm."""

from __future__ import annotations

import time
from pathlib import Path

from torbiz_tui.catalogue import DEMO_MODEL
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.private_swarms.invite import Invite, invited_model, make_invite
from torbiz_tui.private_swarms.known import KnownModel, KnownSwarm, named_after
from torbiz_tui.private_swarms.peer_address import whole_peers
from torbiz_tui.sharing.state import Phase, SharingState


def is_private(spec: ServerSpec) -> bool:
    """Whether the server is in a private swarm."""
    return spec.new_swarm or bool(spec.initial_peers)


def invite_of(state: SharingState) -> Invite | None:
    """The invite to the hosted server's swarm; None in the public one.

    Raises UsageError (`no_address`) while its addresses are not known.
    """
    spec = state.spec
    if spec is None or not is_private(spec):
        return None
    model = invited_model(spec.model, spec.dht_prefix)
    # Who was there before us may be there after us.
    return make_invite((*state.addresses, *spec.initial_peers), (model,), spec.swarm_name)


def swarm_of(state: SharingState) -> KnownSwarm | None:
    """What is to be remembered of a server that serves; None when that is nothing."""
    spec = state.spec
    if spec is None or state.phase is not Phase.SERVING or not is_private(spec):
        return None
    folder = spec.source if Path(spec.source).is_absolute() and spec.model != DEMO_MODEL else ""
    models = (KnownModel(spec.model, spec.dht_prefix, folder),)
    own = whole_peers(state.addresses)
    identities = {peer.rpartition("/p2p/")[2] for peer in own}
    others = [
        peer
        for peer in whole_peers(spec.initial_peers)
        if peer.rpartition("/p2p/")[2] not in identities
    ]
    if not own and not others:
        return None
    return KnownSwarm(
        spec.swarm_name or named_after(models),
        models,
        tuple(others),
        own,
        spec.new_swarm,
        time.time(),
    )
