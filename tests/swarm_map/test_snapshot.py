"""Reading what the monitor says: strangers wrote most of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swarm_map.swarms import look, server, snapshot
from torbiz_tui.swarm_map.coverage import cover, ranges_text
from torbiz_tui.swarm_map.picture import picture
from torbiz_tui.swarm_map.rows import plain
from torbiz_tui.swarm_map.snapshot import BadSnapshotError, State, read_snapshot
from torbiz_tui.swarm_map.table import table

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe"


def test_names_of_strangers_are_cut_and_only_text() -> None:
    (read,) = snapshot(8, server(1, 0, 8, public_name=HOSTILE, version=HOSTILE * 99)).servers
    assert read.public_name.isprintable()
    assert "owned" in read.public_name
    assert read.version.isprintable()
    assert len(read.version) <= 40


@pytest.mark.parametrize(
    "facts",
    [
        {"start": 3, "end": 3},
        {"start": -1},
        {"end": 9},
        {"start": 0.5},
        {"state": "ready"},
        {"state": ["online"]},
        {"peer_id": ""},
        {"peer_id": 7},
    ],
)
def test_a_server_that_is_nowhere_is_left_out(facts: dict[str, Any]) -> None:
    read = snapshot(8, server(1, 0, 8) | facts, server(2, 0, 4))
    assert [one.short_id for one in read.servers] == ["…000002"]


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1, 1e300, "12", True, None])
def test_a_number_that_can_be_none_is_not_known(number: object) -> None:
    (read,) = snapshot(8, server(1, 0, 8, throughput=number, cache_tokens_left=number)).servers
    assert read.throughput is None
    assert read.cache_tokens_left is None


@pytest.mark.parametrize("facts", [{"num_blocks": 0}, {"num_blocks": 10**9}, {"servers": None}])
def test_a_look_without_its_blocks_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(BadSnapshotError):
        read_snapshot(look(8) | facts)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_FIELDS = [*sorted(server(1, 0, 8)), "public_name", "next_pings", "adapters", "using_relay"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(_FIELDS), _ANYTHING), max_size=3))
def test_whatever_is_said_can_be_drawn(changes: list[dict[str, Any]]) -> None:
    read = snapshot(8, *(server(at, 0, 8) | change for at, change in enumerate(changes)))
    for line in plain([*picture(read), *table(read)]):
        assert line.isprintable()


def test_a_server_that_does_not_answer_serves_nothing() -> None:
    read = snapshot(
        8,
        server(1, 0, 5),
        server(2, 3, 6),
        server(3, 0, 8, reachable=False),
        server(4, 6, 7, state="joining"),
        server(5, 0, 8, state="offline", reachable=None),
    )
    states = {one.short_id: one.state for one in read.servers}
    assert states["…000003"] is State.UNREACHABLE
    assert states["…000005"] is State.OFFLINE
    coverage = cover(read)
    assert coverage.counts == (1, 1, 1, 2, 2, 1, 0, 0)
    assert coverage.missing == ((6, 8),)
    assert coverage.single == ((0, 3), (5, 6))
    assert coverage.joining == ((6, 7),)
    assert not coverage.whole
    assert coverage.redundancy == 0


def test_ranges_as_people_count_them() -> None:
    assert ranges_text(((0, 1), (3, 8))) == "0, 3–7"
    many = tuple((at, at + 1) for at in range(0, 40, 2))
    assert ranges_text(many, 3) == "0, 2, 4, and 17 more ranges"
