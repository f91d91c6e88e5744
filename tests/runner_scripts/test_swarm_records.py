"""What the monitor makes of the announcements of servers, and how it asks them: without Petals."""

from __future__ import annotations

import asyncio
import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from .runner_process import SCRIPTS

OFFLINE, JOINING, ONLINE = 0, 1, 2
ANN, BOB = "12D3KooWAnnAnnAnnAnnAnnAnn", "12D3KooWBobBobBobBobBobBob"


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("swarm_records")


def announced(
    state: int, blocks: tuple[int, int] | None = None, expires: float = 0.0, **more: object
) -> Any:
    facts = dict(more)
    if blocks is not None:
        facts |= {"start_block": blocks[0], "end_block": blocks[1]}
    return SimpleNamespace(value=(state, 10.0, facts), expiration_time=expires)


def places(records: Any, found: dict[int, dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(one.state, one.start, one.end) for one in records.read_servers(found, 16)]


def test_a_server_is_one_span_in_its_highest_state(records: Any) -> None:
    found = {block: {ANN: announced(JOINING, (0, 4))} for block in range(2)}
    found |= {block: {ANN: announced(ONLINE, (0, 4))} for block in range(2, 4)}
    assert places(records, found) == [("online", 0, 4)]


def test_a_server_that_does_not_say_its_span_has_it_where_it_was_found(records: Any) -> None:
    found = {block: {BOB: announced(ONLINE, expires=block % 2)} for block in range(3, 7)}
    assert places(records, found) == [("online", 3, 7)]


def test_a_server_that_has_crashed_and_serves_other_blocks_is_where_it_is_now(
    records: Any,
) -> None:
    found = {block: {ANN: announced(ONLINE, (0, 4), 100.0, version="old")} for block in range(4)}
    found |= {block: {ANN: announced(JOINING, (8, 12), 160.0)} for block in range(8, 12)}
    assert places(records, found) == [("joining", 8, 12)]
    found |= {block: {ANN: announced(ONLINE, (8, 12), 170.0)} for block in range(8, 12)}
    assert places(records, found) == [("online", 8, 12)]


def test_what_is_no_announcement_is_left_out(records: Any) -> None:
    wrong = [SimpleNamespace(value=value, expiration_time=9.0) for value in ((3, 1.0), (2,), "x")]
    found = {block: {ANN: one} for block, one in enumerate(wrong)}
    assert places(records, found) == []


@pytest.fixture
def swarm_probe(records: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which asks two servers at a time and waits next to no time for all of them."""
    messages = SimpleNamespace(ExpertUID=object, ExpertInfo=object)
    monkeypatch.setitem(sys.modules, "hivemind.proto.runtime_pb2", messages)
    peer_ids = SimpleNamespace(PeerID=SimpleNamespace(from_base58=str))
    monkeypatch.setitem(sys.modules, "hivemind.p2p", peer_ids)
    module: Any = importlib.import_module("swarm_probe")
    monkeypatch.setattr(module, "AT_ONCE", 2)
    monkeypatch.setattr(module, "MOST_S", 0.05)
    return module


class Network:
    """Nobody answers until `answers` is set; `asked` are those who were, in order."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked: list[str] = []

    async def list_peers(self) -> list[Any]:
        return []

    async def call_protobuf_handler(self, peer: str, *_: Any) -> None:
        self.asked.append(peer)
        await self.answers.wait()


async def test_hundreds_that_do_not_answer_do_not_hold_up_a_look(
    records: Any, swarm_probe: Any
) -> None:
    def servers() -> list[Any]:
        return [records.Server(f"peer-{number}", "online", 0, 8) for number in range(200)]

    network, probe = Network(), swarm_probe.Probe()
    first = servers()
    await asyncio.wait_for(probe.look(network, first), 60)
    assert {one.reachable for one in first} == {None}
    assert len(network.asked) == 2
    # Those who were not asked come first, and all in their turn.
    network.answers.set()
    swarm_probe.MOST_S = 60.0
    second = servers()
    await asyncio.wait_for(probe.look(network, second), 60)
    assert {one.reachable for one in second} == {True}


async def test_who_has_failed_waits_for_those_who_were_never_asked(
    records: Any, swarm_probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swarm_probe, "TIMEOUT_S", 0.0)
    monkeypatch.setattr(swarm_probe, "MOST_S", 60.0)
    monkeypatch.setattr(swarm_probe, "LOST_AGAIN_AFTER_S", 0.0)
    network, probe = Network(), swarm_probe.Probe()
    known = [records.Server("known", "online", 0, 8)]
    await asyncio.wait_for(probe.look(network, known), 60)
    assert known[0].reachable is False
    asked: list[str] = []

    async def answers(_p2p: Any, peer: str, _known: Any) -> bool:
        asked.append(peer)
        return True

    monkeypatch.setattr(swarm_probe, "_answers", answers)
    both = [*known, records.Server("new", "online", 0, 8)]
    await asyncio.wait_for(probe.look(network, both), 60)
    assert asked == ["new", "known"]


async def test_a_connection_that_is_lost_is_asked_about_with_the_next_look(
    records: Any, swarm_probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, probe = Network(), swarm_probe.Probe()
    network.answers.set()
    lost = records.Server("lost", "online", 0, 8)
    monkeypatch.setattr(swarm_probe, "MOST_S", 60.0)
    await asyncio.wait_for(probe.look(network, [lost]), 60)
    assert lost.reachable
    # Its connection goes while so many others do not answer that no time is left for it.
    network.answers.clear()
    silent = [records.Server(f"silent-{number}", "online", 0, 8) for number in range(8)]
    monkeypatch.setattr(swarm_probe, "MOST_S", 0.05)
    await asyncio.wait_for(probe.look(network, [*silent, lost]), 60)
    network.asked.clear()
    monkeypatch.setattr(swarm_probe, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(swarm_probe, "MOST_S", 60.0)
    await asyncio.wait_for(probe.look(network, [*silent, lost]), 60)
    assert "lost" in network.asked
    assert lost.reachable is False
