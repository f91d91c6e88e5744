"""One look at a swarm for the form of Share: the sentence, and what keeps it from being said."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.swarm_map.monitors import ScriptedMonitor
from tests.swarm_map.swarms import server, snapshot
from torbiz_tui.errors import TorbizError
from torbiz_tui.swarm_map.looking import coverage_line, look_once, own_left_out
from torbiz_tui.swarm_map.monitor import Looking, Trouble


@pytest.mark.parametrize(
    ("servers", "line"),
    [
        ([], "none of the 12 blocks has a server"),
        ([server(1, 0, 6)], "blocks 0:6 served, 6:12 lack a server"),
        ([server(1, 0, 6), server(2, 7, 12)], "blocks 0:6, 7:12 served, 6:7 lacks a server"),
        ([server(1, 6, 12)], "blocks 6:12 served, 0:6 lack a server"),
        ([server(1, 0, 12)], "all 12 blocks served, none by more than one server"),
        (
            [server(1, 0, 12), server(2, 0, 6)],
            "all 12 blocks served, 6:12 by one server alone",
        ),
        ([server(1, 0, 12), server(2, 0, 12)], "all 12 blocks served, each by 2 servers or more"),
        (
            [server(n, 2 * n, 2 * n + 1) for n in range(6)],
            "blocks 0:1, 2:3, 4:5, 6:7, 2 more served, 1:2, 3:4, 5:6, 7:8, 2 more lack a server",
        ),
    ],
)
def test_the_coverage_in_a_line(servers: list[dict[str, Any]], line: str) -> None:
    assert coverage_line(snapshot(12, *servers)) == line


def test_a_swarm_without_a_peer_is_not_told_from_an_old_look() -> None:
    assert coverage_line(snapshot(12, server(1, 0, 12), alone=True)) == "no peer of it answers"


def test_a_server_of_this_machine_does_not_count() -> None:
    seen = snapshot(12, server(1, 0, 6), server(2, 6, 12))
    own = seen.servers[1].peer_id
    assert own_left_out(seen) == f"Now: {coverage_line(seen)}."
    assert own_left_out(seen, [own]) == (
        "Without this machine: blocks 0:6 served, 6:12 lack a server."
    )


async def test_a_look_ends_with_what_is_seen_a_trouble_or_its_time() -> None:
    told: list[str] = []

    async def look(*events: Any, timeout_s: float = 30.0) -> Any:
        monitor = ScriptedMonitor(*events)
        try:
            return await look_once(cast("Any", monitor), "model", told.append, timeout_s)
        finally:
            assert monitor.closed == 1

    seen = snapshot(12, server(1, 0, 6))
    assert await look(Looking("connecting"), seen) is seen
    assert told == ["Starting the monitor", "Connecting to the swarm"]
    with pytest.raises(TorbizError, match="cannot be reached"):
        await look(Trouble(TorbizError("The swarm cannot be reached."), 1.0))
    with pytest.raises(TorbizError, match="not answered within 0 s"):
        await look(None, timeout_s=0.05)
