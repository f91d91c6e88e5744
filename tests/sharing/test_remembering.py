"""The peers that a server has seen are known when its swarm is begun again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.private_swarms.peers import identity, peer
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.seeder_command import seeder_arguments
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.known import MAX_KEPT_PEERS, KnownModel, KnownSwarm, KnownSwarms
from torbiz_tui.sharing.remembering import SwarmMemory, friends_of, take_in_last_run
from torbiz_tui.sharing.state import Phase, SharingState

DAY = 24 * 3600.0
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


async def test_a_friend_of_a_swarm_in_which_nothing_changes_is_seen_day_by_day(
    known: KnownSwarms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("torbiz_tui.sharing.inviting.time.time", lambda: now)
    memory, state = SwarmMemory(Paths(tmp_path)), replace(STARTED, peers_seen=(peer(2),))
    memory.note(state)
    now += 3600
    memory.note(state)
    await memory.close()
    assert known.require("home").last_seen == 1_000_000.0
    now += DAY
    memory.note(state)
    await memory.close()
    assert known.require("home").seen_at[identity(2)] == now


def test_the_last_run_tells_until_when_its_peers_were_there(
    known: KnownSwarms, tmp_path: Path
) -> None:
    known.remember(KnownSwarm("home", (), (peer(2),), (peer(1),), True, 5.0))
    paths = Paths(tmp_path)
    log = paths.logs / "petals_seeder.log"
    log.write_text(f"[INFO] Peers of the swarm, seen by {identity(1)}: {[peer(2)]}\n", "utf-8")
    os.utime(log, (40 * DAY, 40 * DAY))
    take_in_last_run(paths)
    assert known.require("home").seen_at == {identity(2): 40 * DAY}


FRIENDS = KnownSwarm("home", (), (peer(2), peer(3), peer(1, "192.0.2.9")), (peer(1),), True, 5.0)


@pytest.mark.parametrize(
    ("spec", "swarm", "called"),
    [
        ({"new_swarm": True, "swarm_name": "home"}, FRIENDS, (peer(2), peer(3))),
        ({"initial_peers": (peer(2),)}, FRIENDS, (peer(3),)),
        # Neither another swarm of that name, nor the public one.
        (
            {"new_swarm": True, "swarm_name": "home"},
            replace(FRIENDS, started_here=False),
            (),
        ),
        ({"initial_peers": (peer(5),), "swarm_name": "home"}, FRIENDS, ()),
        ({"new_swarm": True}, replace(FRIENDS, name="swarm"), ()),
        ({"swarm_name": "home"}, FRIENDS, ()),
    ],
)
def test_a_server_is_told_of_friends_that_are_away(
    known: KnownSwarms,
    tmp_path: Path,
    spec: dict[str, Any],
    swarm: KnownSwarm,
    called: tuple[str, ...],
) -> None:
    known.remember(swarm)
    friends = friends_of(ServerSpec("m", "m", 8, **spec), Paths(tmp_path))
    assert friends == called
    told = ServerSpec("m", "m", 8, known_peers=friends)
    arguments = seeder_arguments(told, source="m", identity="i", cache="c")
    assert arguments.count("--known-peer") == len(called)


def test_the_last_run_is_taken_in_from_a_log_that_was_just_rotated(
    known: KnownSwarms, tmp_path: Path
) -> None:
    known.remember(KnownSwarm("home", (), (peer(9),), (peer(1),), True, 5.0))
    paths = Paths(tmp_path)
    line = f"[INFO] Peers of the swarm, seen by {identity(1)}: {[peer(2)]}\n"
    (paths.logs / "petals_seeder.log.1").write_text(line, "utf-8")
    (paths.logs / "petals_seeder.log").write_text("[DEBUG] Serving: nothing\n", "utf-8")
    take_in_last_run(paths)
    assert known.require("home").peers == (peer(2), peer(9))
