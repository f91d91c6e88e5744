"""Which peers a server calls, and what it tells of them."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.private_swarms.peers import identity, peer
from torbiz_tui.sharing.remembering import read_peers_seen

from .runner_process import SCRIPTS

FRIENDS = 9


@pytest.fixture(scope="module")
def staying_joined() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module("staying_joined")
    finally:
        sys.path.remove(str(SCRIPTS))


class ScriptedDht:
    """A DHT whose peers are those that the test says; it keeps whom it was asked to call."""

    def __init__(self, seen: list[str]) -> None:
        self.peer_id = identity(0)
        self.called: list[str] = []
        self._seen = seen

    def run_coroutine(self, look: Callable[..., Any], *, return_future: bool) -> Any:
        assert return_future
        calls = look.keywords.get("peers")  # type: ignore[attr-defined]
        self.called += calls or []
        return SimpleNamespace(result=lambda _timeout: self._seen if calls is None else [])


class Looks:
    """Lets the looks go on without a wait; after so many it is time to stop."""

    def __init__(self, count: int) -> None:
        self._left = count

    def wait(self, _timeout: float) -> bool:
        self._left -= 1
        return self._left < 0


def test_friends_that_were_away_at_the_start_are_called(staying_joined: ModuleType) -> None:
    dht = ScriptedDht([])
    staying_joined.StayingJoined(dht, [peer(1)], [peer(2)], Looks(1)).run()
    assert dht.called == [peer(1), peer(2)]


async def test_every_friend_of_a_larger_swarm_is_told(
    staying_joined: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hosts = ("10.0.0.7", "93.184.215.14", "192.168.0.7")

    async def find(_p2p: object, found: str, _timeout_s: float) -> list[str]:
        return [f"/ip4/{host}/tcp/31337" for host in hosts]

    async def list_peers() -> list[object]:
        return []

    addresses = importlib.import_module(staying_joined.seen_peers.__module__)
    monkeypatch.setattr(addresses, "_find", find)
    friends = {identity(number): number for number in range(1, FRIENDS + 1)}
    table = SimpleNamespace(peer_id_to_uid=friends)
    node: Any = SimpleNamespace(
        protocol=SimpleNamespace(routing_table=table), p2p=SimpleNamespace(list_peers=list_peers)
    )
    seen = await staying_joined.seen_peers(None, node, timeout_s=1.0)
    assert len(seen) == FRIENDS * len(hosts)

    staying_joined.logger.addHandler(caplog.handler)
    try:
        staying = staying_joined.StayingJoined(ScriptedDht(seen), [], [], Looks(3))
        await asyncio.to_thread(staying.run)
    finally:
        staying_joined.logger.removeHandler(caplog.handler)
    (line,) = [one for one in caplog.messages if "Peers of the swarm" in one]
    told = read_peers_seen(line)
    assert told is not None
    assert told[0] == identity(0)
    known = [address for address in told[1] if "/93.184.215.14/" in address]
    assert {address.rpartition("/p2p/")[2] for address in known} == set(friends)
