"""What a server that is to stop waits for: an answer that goes on, in a slow swarm too."""

from __future__ import annotations

import importlib
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from .runner_process import SCRIPTS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Serving:
    """A server with an open session, that computes when it is told to."""

    def __init__(self, draining: Any, clock: Clock) -> None:
        self._clock = clock
        cache = SimpleNamespace(current_size_bytes=1)
        backend = SimpleNamespace(memory_cache=cache)
        runtime = SimpleNamespace(process_batch=lambda *_: None)
        self._container = SimpleNamespace(module_backends={"m.0": backend}, runtime=runtime)
        self.drain = draining.Drain(logging.getLogger("drain"))
        self.drain.watch(self._container)

    def computes(self, *pauses: float) -> None:
        for pause in pauses:
            self._clock.now += pause
            self._container.runtime.process_batch()

    def waited_for(self) -> float:
        """For how many seconds a session is waited for in which nothing more comes."""
        begun = self._clock.now
        while self.drain._busy():
            self._clock.now += 0.5
        return self._clock.now - begun


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    draining: Any = importlib.import_module("draining")
    clock = Clock()
    monkeypatch.setattr(draining, "time", clock)
    return Serving(draining, clock)


def test_who_has_computed_nothing_waits_for_nobody(serving: Serving) -> None:
    assert serving.waited_for() == 0.0


def test_a_fast_swarm_is_waited_for_shortly(serving: Serving) -> None:
    serving.computes(*[0.1] * 20)
    assert serving.waited_for() == 2.0


def test_a_slow_swarm_is_waited_for_as_long_as_it_takes(serving: Serving) -> None:
    # A token of three machines takes six seconds, of which two are ours.
    serving.computes(*[4.0] * 5)
    assert 4.0 < serving.waited_for() <= 10.0


def test_a_person_who_thinks_is_no_slow_swarm(serving: Serving) -> None:
    serving.computes(0.1, 0.1, 600.0, *[0.1] * 3)
    assert serving.waited_for() == 2.0
    # A shorter thought is forgotten with the next answer.
    serving.computes(15.0, *[0.1] * 20)
    assert serving.waited_for() == 2.0
