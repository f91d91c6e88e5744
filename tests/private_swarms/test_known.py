"""The swarms that a home knows: kept, merged, bounded, and not lost with a damaged file."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.private_swarms.peers import peer
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.known import (
    MAX_SWARMS,
    UNSEEN_S,
    KnownModel,
    KnownSwarm,
    KnownSwarms,
)

DEMO = KnownModel("torbiz-demo", "torbiz-demo-hf")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def test_a_swarm_is_found_again(paths: Paths) -> None:
    swarm = KnownSwarm("home", (DEMO,), (peer(2),), (peer(1),), True, 5.0)
    assert KnownSwarms(paths).remember(swarm) == swarm
    assert KnownSwarms(paths).all() == [swarm]
    assert KnownSwarms(paths).require("home") == swarm
    assert paths.state_file.stat().st_mode & 0o777 == 0o600


def test_one_peer_in_common_makes_it_the_same_swarm(paths: Paths) -> None:
    known = KnownSwarms(paths)
    known.remember(KnownSwarm("home", (DEMO,), (peer(2),), (peer(1),), True, 5.0))
    moved = peer(2, "198.51.100.9")
    other = KnownModel("owner/name")
    known.remember(KnownSwarm("theirs", (other,), (moved, peer(3)), (), False, 9.0))
    (one,) = known.all()
    assert one == KnownSwarm("theirs", (DEMO, other), (moved, peer(3)), (peer(1),), True, 9.0)


def test_who_asks_leaves_the_revision_that_a_server_has_told(paths: Paths) -> None:
    known = KnownSwarms(paths)
    plain, tagged = KnownModel("owner/name"), KnownModel("owner/name", "", "", "v1.0")
    for model, own, kept in (
        (tagged, (peer(1),), tagged),
        (plain, (), tagged),
        (plain, (peer(1),), plain),
    ):
        assert known.remember(KnownSwarm("home", (model,), (peer(2),), own)).models == (kept,)
        assert known.all()[0].models == (kept,)


def test_two_swarms_never_have_one_name(paths: Paths) -> None:
    known = KnownSwarms(paths)
    for number in range(3):
        known.remember(KnownSwarm("home", (DEMO,), (peer(number),), last_seen=number))
    assert [one.name for one in known.all()] == ["home-3", "home-2", "home"]


def test_those_not_seen_for_longest_make_room(paths: Paths) -> None:
    known = KnownSwarms(paths)
    for number in range(MAX_SWARMS + 3):
        known.remember(KnownSwarm(f"s{number}", (), (peer(number),), last_seen=number))
    names = [one.name for one in known.all()]
    assert len(names) == MAX_SWARMS
    assert names[0] == f"s{MAX_SWARMS + 2}"
    assert "s2" not in names


def test_forgetting(paths: Paths) -> None:
    known = KnownSwarms(paths)
    known.remember(KnownSwarm("home", (DEMO,), (peer(1),)))
    with pytest.raises(UsageError, match=r"No swarm is known by the name 'hime'.*Known are: home"):
        known.forget("hime")
    known.forget("home")
    assert known.all() == []


def test_what_else_the_app_remembers_stays(paths: Paths) -> None:
    paths.state_file.write_text('{"other": [1]}')
    KnownSwarms(paths).remember(KnownSwarm("home", (), (peer(1),)))
    assert json.loads(paths.state_file.read_text())["other"] == [1]


@pytest.mark.parametrize("damaged", ['{"swarms": [{"na', "[]", "\x00\x00", "[" * 100_000])
def test_a_damaged_file_is_told_and_set_aside(paths: Paths, damaged: str) -> None:
    paths.state_file.write_text(damaged)
    known = KnownSwarms(paths)
    assert known.all() == []
    (aside,) = paths.home.glob("state.json.damaged-*")
    assert aside.read_text() == damaged
    assert aside.name in known.warnings[0]
    known.remember(KnownSwarm("home", (), (peer(1),)))
    assert [one.name for one in known.all()] == ["home"]


def test_an_entry_that_somebody_has_changed_is_left_out(paths: Paths) -> None:
    known = KnownSwarms(paths)
    known.remember(KnownSwarm("home", (DEMO,), (peer(1),)))
    state = json.loads(paths.state_file.read_text())
    state["swarms"] += [{"name": "--x"}, 7, {**state["swarms"][0], "peers": ["/ip4/x"], "own": []}]
    paths.state_file.write_text(json.dumps(state))
    assert [one.name for one in known.all()] == ["home"]


def test_two_programs_at_once_lose_nothing(paths: Paths) -> None:
    def remember(number: int) -> None:
        KnownSwarms(paths).remember(KnownSwarm(f"s{number}", (), (peer(number),)))

    threads = [threading.Thread(target=remember, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.name for one in KnownSwarms(paths).all()} == {f"s{n}" for n in range(12)}


def test_a_full_disk_is_told(small_disk: Path) -> None:
    paths = Paths(small_disk)
    known = KnownSwarms(paths)
    known.remember(KnownSwarm("home", (), (peer(1),)))
    with (small_disk / "filler").open("wb") as filler, pytest.raises(OSError):
        while True:
            filler.write(b"x" * 1_000_000)
            filler.flush()
    big = tuple(KnownModel("m" * 90, "p", "x" * 30_000) for _ in range(8))
    with pytest.raises(TorbizError, match="cannot be kept"):
        known.remember(KnownSwarm("big", big, (peer(2),)))
    assert [one.name for one in known.all()] == ["home"]


def test_a_peer_that_is_long_gone_is_dropped(paths: Paths) -> None:
    known = KnownSwarms(paths)
    known.remember(KnownSwarm("home", (DEMO,), (peer(1), peer(2)), last_seen=0.0))
    late = UNSEEN_S + 1
    known.remember(KnownSwarm("home", (DEMO,), (peer(1), peer(3)), last_seen=late))
    # It may be that nobody has looked at the swarm in the meantime.
    assert known.require("home").peers == (peer(1), peer(3), peer(2))
    known.remember(KnownSwarm("home", (DEMO,), (peer(1),), last_seen=late))
    assert known.require("home").peers == (peer(1), peer(3))
