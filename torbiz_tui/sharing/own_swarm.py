"""Whom to ask in the private swarm of the hosted server while that does not serve."""

from __future__ import annotations

import asyncio

from torbiz_tui.errors import NotServedError
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms import dialling
from torbiz_tui.private_swarms.peer_address import whole_peers
from torbiz_tui.sharing.remembering import friends_of
from torbiz_tui.sharing.state import Phase, SharingState

NOT_SERVING_YET = "not_serving_yet"


class OthersOfSwarm:
    """Finds the peers besides this machine that take connections now."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._found: tuple[str, ...] = ()

    async def answering(self, state: SharingState) -> tuple[str, ...]:
        """Their addresses, within 3 s; none where the server knows no others.

        They stay the same for as long as one of them answers: a chat runner belongs to the peers
        that it was started with.
        """
        found = await asyncio.to_thread(_answering, state, self._paths)
        if not set(found) & set(self._found):
            self._found = found
        return self._found


def _answering(state: SharingState, paths: Paths) -> tuple[str, ...]:
    spec = state.spec
    if spec is None:
        return ()
    known = (*state.peers_seen, *spec.initial_peers, *spec.known_peers, *friends_of(spec, paths))
    own = {address.rpartition("/p2p/")[2] for address in state.addresses}
    others = [one for one in whole_peers(known) if one.rpartition("/p2p/")[2] not in own]
    return dialling.answering(list(dict.fromkeys(others)))


def comes_by_itself(state: SharingState) -> bool:
    """Whether waiting is all that is needed until the server serves."""
    return state.phase is Phase.STARTING and not state.pauses and not state.paused


def not_serving_yet(name: str, state: SharingState) -> NotServedError:
    """The error for a model that the hosted server will serve, and that nobody else does."""
    why = f"{state.stage_text}."
    remedy = "Wait until it serves; Share (F2) and `torbiz-tui status` say how far it is."
    if state.phase is Phase.STOPPING:
        why, remedy = "It is being stopped.", "Start it again once it has stopped (F2)."
    elif state.phase is Phase.SERVING and not state.paused:
        why, remedy = "Its address is not known yet.", "Wait up to an hour, or restart it (F2)."
    elif state.paused:
        why, remedy = "It is frozen from outside.", "Share (F2) says how to let it go on."
    return NotServedError(
        f"The server of this machine does not serve {name} now.",
        why=why,
        remedy=remedy,
        code=NOT_SERVING_YET,
    )
