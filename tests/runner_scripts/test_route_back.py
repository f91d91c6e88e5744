"""A server that answers again is in the route that is looked up then, not in the one after."""

from __future__ import annotations

import importlib
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from .runner_process import SCRIPTS


class Manager:
    """Petals' routing of two blocks with one server, which is known again only after an update."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.ready.set()
        self.lock_changes = threading.Lock()
        self._thread_start_lock = threading.Lock()
        info = SimpleNamespace(last_updated_time=1.0, spans_containing_block=[[], []])
        self.state = SimpleNamespace(sequence_info=info)
        self.config = SimpleNamespace(initial_peers=[])
        self.blocked_servers: set[str] = set()

    def __len__(self) -> int:
        return 2

    def is_alive(self) -> bool:
        return True

    def update(self, *, wait: bool) -> None:
        self.ready.clear()
        threading.Timer(0.1, self._updated).start()

    def _updated(self) -> None:
        if "server" not in self.blocked_servers:
            self.state.sequence_info.spans_containing_block = [["span"], ["span"]]
        self.ready.set()

    def _make_sequence_with_min_latency(self, first: int, end: int, **_: Any) -> list[Any]:
        if not all(self.state.sequence_info.spans_containing_block):
            raise RuntimeError("No servers holding blocks")
        info = SimpleNamespace(public_name="")
        return [SimpleNamespace(start=0, end=2, peer_id="server", server_info=info)]


def test_a_server_that_answers_again_is_in_the_same_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "swarm_route", raising=False)
    swarm_route = importlib.import_module("swarm_route")
    answers = False

    async def asked(_route: Any, _peer: Any) -> bool:
        return answers

    async def none_dead(_route: Any, _spans: Any) -> list[Any]:
        return []

    def run(_route: Any, coroutine: Any, _stop: Any, _timeout_s: float) -> Any:
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("it waits for something")

    async def all_of(*awaitables: Any) -> list[Any]:
        return [await one for one in awaitables]

    for name, stand_in in (("_answers", asked), ("_find_dead", none_dead), ("_run", run)):
        monkeypatch.setattr(swarm_route.SwarmRoute, name, stand_in)
    monkeypatch.setattr(swarm_route.asyncio, "gather", all_of)
    monkeypatch.setattr(swarm_route.Rejoining, "look", lambda _rejoining, _timeout_s: None)

    manager = Manager()
    route = swarm_route.SwarmRoute(manager)
    route._out.add("server")
    manager.blocked_servers.add("server")
    assert route.look_up().missing == ((0, 2),)
    answers = True
    found = route.look_up()
    assert not found.missing
    assert [hop.peer for hop in found.hops] == ["server"]
