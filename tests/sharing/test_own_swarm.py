"""A private swarm is asked through its other members while the server of this machine does not serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.conftest import demo_config
from tests.private_swarms.peers import peer
from torbiz_tui.assembly import _peer_finder
from torbiz_tui.catalogue import ModelInfo, resolve_model
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.errors import NotServedError
from torbiz_tui.inference.service import FindPeers
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms import dialling
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, SharingState, Stage


class Attached:
    """A sharing service whose server is in `state`."""

    def __init__(self, state: SharingState) -> None:
        self.state = state

    async def attach(self) -> SharingState:
        return self.state


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Who takes connections."""
    there: set[str] = set()

    def answering(addresses: Sequence[str]) -> tuple[str, ...]:
        return tuple(one for one in addresses if one in there)

    monkeypatch.setattr(dialling, "answering", answering)
    return there


@pytest.fixture
async def model(tmp_path: Path) -> ModelInfo:
    return await resolve_model("torbiz-demo", Paths(tmp_path))


@pytest.fixture
def joined(model: ModelInfo) -> SharingState:
    """A server that has joined a swarm through a friend and has crashed."""
    spec = ServerSpec(model.name, model.source, 8, initial_peers=(peer(2),))
    return SharingState(
        phase=Phase.STARTING, stage=Stage.LOADING, spec=spec, addresses=(peer(1),), blocks=(0, 8)
    )


def finder(home: Path, attached: Attached) -> FindPeers:
    return _peer_finder(demo_config(home), cast(SharingService, attached), Paths(home))


async def test_friends_are_asked_while_the_own_server_does_not_serve(
    tmp_path: Path, model: ModelInfo, joined: SharingState, there: set[str]
) -> None:
    there |= {peer(1), peer(2), peer(3)}
    attached = Attached(replace(joined, peers_seen=(peer(3), peer(1))))
    find = finder(tmp_path, attached)
    assert await find(model) == (peer(3), peer(2))
    # The chat runner was started with these: it stays as long as it finds one of them.
    there.remove(peer(3))
    assert await find(model) == (peer(3), peer(2))
    there.remove(peer(2))
    there.add(peer(4))
    attached.state = replace(joined, pauses="outside of 22:00-07:00", peers_seen=(peer(4),))
    assert await find(model) == (peer(4),)
    attached.state = replace(joined, phase=Phase.FAILED, peers_seen=(peer(4),))
    assert await find(model) == (peer(4),)
    attached.state = replace(joined, phase=Phase.SERVING)
    assert await find(model) == (peer(1),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"blocks_loaded": 3}, "Loading blocks: 3 of 8."),
        ({"pauses": "it serves at 22:00-07:00 only"}, "Paused: it serves at 22:00-07:00 only."),
        ({"phase": Phase.STOPPING, "stage": Stage.SERVING}, "It is being stopped."),
        ({"phase": Phase.SERVING, "paused": True}, "It is frozen from outside."),
        ({"phase": Phase.SERVING, "addresses": ()}, "Its address is not known yet."),
    ],
)
async def test_who_is_alone_is_told_how_far_the_own_server_is(
    tmp_path: Path,
    model: ModelInfo,
    joined: SharingState,
    there: set[str],
    changes: dict[str, object],
    said: str,
) -> None:
    assert not there
    state = replace(joined, **changes)  # type: ignore[arg-type]
    with pytest.raises(NotServedError, match="does not serve torbiz-demo now") as caught:
        await finder(tmp_path, Attached(state))(model)
    assert caught.value.why == said
    assert "torbiz-tui share" not in caught.value.remedy
