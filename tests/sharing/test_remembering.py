"""The peers that a server has seen are known when its swarm is begun again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.private_swarms.peers import identity, peer
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.known import MAX_KEPT_PEERS, KnownModel, KnownSwarm, KnownSwarms
from torbiz_tui.sharing.remembering import SwarmMemory, take_in_last_run
from torbiz_tui.sharing.state import Phase, SharingState

STARTED = SharingState(
    phase=Phase.SERVING,
    spec=ServerSpec("torbiz-demo", "/models/demo", 8, new_swarm=True, swarm_name="home"),
    addresses=(peer(1),),
)


@pytest.fixture
def known(tmp_path: Path) -> KnownSwarms:
    paths = Paths(tmp_path)
    paths.ensure()
    return KnownSwarms(paths)


async def test_whoever_joins_a_swarm_that_began_here_is_remembered(
    known: KnownSwarms, tmp_path: Path
) -> None:
    memory = SwarmMemory(Paths(tmp_path))
    memory.note(STARTED)
    memory.note(replace(STARTED, peers_seen=(peer(2), peer(1, "192.0.2.9"))))
    await memory.close()
    swarm = known.require("home")
    assert (swarm.own, swarm.peers) == ((peer(1),), (peer(2),))
    # One that has gone may be back; there is an end to it.
    for number in range(3, 30):
        memory.note(replace(STARTED, peers_seen=(peer(number),)))
    await memory.close()
    swarm = known.require("home")
    assert len(swarm.peers) == MAX_KEPT_PEERS
    assert swarm.peers[0] == peer(29)


def test_what_the_last_run_has_told_while_nobody_looked_is_taken_in(
    known: KnownSwarms, tmp_path: Path
) -> None:
    mine = KnownSwarm("home", (KnownModel("torbiz-demo"),), (peer(9),), (peer(1),), True, 5.0)
    known.remember(mine)
    paths = Paths(tmp_path)
    log = paths.logs / "petals_seeder.log"
    begin = "Nov 23 20:43:01.001 [INFO] Peers of the swarm, seen by "
    log.write_text(f"{begin}{identity(7)}: {[peer(8)]}\n", "utf-8")
    take_in_last_run(paths)
    assert known.require("home") == mine
    log.write_text(f"{begin}{identity(1)}: {[peer(2)]}\nbye\n", "utf-8")
    take_in_last_run(paths)
    assert known.require("home").peers == (peer(2), peer(9))
