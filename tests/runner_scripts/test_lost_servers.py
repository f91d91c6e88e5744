"""Servers that die, freeze, come back and join, in the middle of answers."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.promptness import require_prompt

from .conftest import TinyModel, start_chat
from .runner_process import Event, RunnerProcess, ServerProcess
from .talking import Reply, reply_to, send, talk, tokens_of, user

REQUEST_TIMEOUT_S = 4.0


class Swarm:
    """Servers by name, all in one private swarm."""

    def __init__(self, python: Path, model: TinyModel) -> None:
        self._python = python
        self._model = model
        self.servers: dict[str, ServerProcess] = {}

    def start(self, name: str, blocks: str, *arguments: str) -> ServerProcess:
        first = next(iter(self.servers.values()), None)
        peers = ["--initial-peer", first.address] if first else ["--new-swarm"]
        process = ServerProcess(
            self._python, self._model.folder, *peers, "--blocks", blocks, *arguments
        )
        self.servers[name] = process
        return process

    def name_of(self, peer: str) -> str:
        return next(name for name, one in self.servers.items() if one.address.endswith(peer))

    def route(self, event: Event) -> list[tuple[int, int, str]]:
        return [
            (hop["first"], hop["end"], self.name_of(hop["peer"])) for hop in event["route"]["hops"]
        ]

    def signal(self, name: str, signum: int) -> None:
        """Send a signal to a server and to all that belongs to it."""
        os.killpg(self.servers[name].process.pid, signum)

    def destroy(self) -> None:
        for server in self.servers.values():
            if server.process.poll() is None:
                os.killpg(server.process.pid, signal.SIGCONT)
            server.destroy()


@pytest.fixture(scope="module")
def swarm(petals_python: Path, tiny_model: TinyModel) -> Iterator[Swarm]:
    made = Swarm(petals_python, tiny_model)
    try:
        # The first is not able to set a session back; the others are.
        made.start("head", "0:4", "--no-rewind")
        made.servers["head"].wait_log("Running a server on")
        for name, blocks in (("tail", "4:8"), ("middle", "4:6"), ("spare", "4:6"), ("end", "6:8")):
            made.start(name, blocks)
        for server in made.servers.values():
            server.wait_serving()
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def runner(petals_python: Path, tiny_model: TinyModel, swarm: Swarm) -> Iterator[RunnerProcess]:
    process = start_chat(
        petals_python,
        tiny_model,
        swarm.servers["head"].address,
        *("--request-timeout", str(REQUEST_TIMEOUT_S), "--max-retries", "6"),
    )
    try:
        process.until(lambda event: event.get("stage") == "ready")
        yield process
    finally:
        process.destroy()


def ask_and_break(
    runner: RunnerProcess, model: TinyModel, swarm: Swarm, name: str, signum: int
) -> Reply:
    """Ask, break a server after some tokens, and wait for the answer's end."""
    request_id = send(runner, model.question, max_new_tokens=60)
    events = tokens_of(runner, request_id, 5)
    swarm.signal(name, signum)
    return reply_to(runner, request_id, events)


@pytest.mark.swarm
class TestLostServers:
    """One swarm that loses server after server; the order of the tests matters."""

    def test_going_back_with_a_server_that_cannot(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        first = talk(runner, tiny_model.question, max_new_tokens=60)
        assert swarm.route(first.started) == [(0, 4, "head"), (4, 8, "tail")]
        again = talk(runner, tiny_model.question, max_new_tokens=60)
        assert first.text == again.text == tiny_model.answer
        assert again.reused == 0
        assert not again.of("recovering")

    def test_a_stop_does_not_wait_for_a_frozen_server(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        def closed_at_head() -> int:
            return sum("rpc_inference.close" in line for line in swarm.servers["head"].log)

        def stopped() -> float:
            request_id = send(runner, tiny_model.question, max_new_tokens=1000)
            tokens_of(runner, request_id, 3)
            swarm.signal("tail", signal.SIGSTOP)
            try:
                time.sleep(0.2)  # until the answer waits for it
                before = closed_at_head()
                stopped_at = time.monotonic()
                runner.send({"type": "cancel", "id": request_id})
                reply = reply_to(runner, request_id)
                took = time.monotonic() - stopped_at
                assert reply.end["finish_reason"] == "cancelled"
                while closed_at_head() == before:
                    if time.monotonic() - stopped_at > 1:
                        return math.inf
                    time.sleep(0.01)
                return took
            finally:
                swarm.signal("tail", signal.SIGCONT)

        require_prompt(stopped, 0.25)

    def test_a_killed_server_is_replaced_by_two(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        reply = ask_and_break(runner, tiny_model, swarm, "tail", signal.SIGKILL)
        assert reply.text == tiny_model.answer
        (lost,) = reply.of("recovering")
        assert (lost["first"], lost["end"]) == (4, 8)
        (recovered,) = reply.of("recovered")
        assert 0 < recovered["seconds"] < REQUEST_TIMEOUT_S
        route = swarm.route(recovered)
        assert [hop[:2] for hop in route] == [(0, 4), (4, 6), (6, 8)]
        assert swarm.route(reply.end) == route

    def test_a_frozen_server_in_the_middle_is_replaced(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        _head, (*_blocks, used), _end = swarm.route(talk(runner, tiny_model.question).started)
        reply = ask_and_break(runner, tiny_model, swarm, used, signal.SIGSTOP)
        try:
            assert reply.text == tiny_model.answer
            (recovered,) = reply.of("recovered")
            assert {used, swarm.route(recovered)[1][2]} == {"middle", "spare"}
            assert recovered["seconds"] > REQUEST_TIMEOUT_S
        finally:
            swarm.signal(used, signal.SIGCONT)

    def test_a_killed_server_in_the_middle_is_replaced_by_the_one_that_came_back(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        _head, (*_blocks, used), _end = swarm.route(talk(runner, tiny_model.question).started)
        reply = ask_and_break(runner, tiny_model, swarm, used, signal.SIGKILL)
        assert reply.text == tiny_model.answer
        assert len(reply.of("recovered")) == 1
        assert {used, swarm.route(reply.end)[1][2]} == {"middle", "spare"}
        # The session that was mended goes on as one that was never broken.
        messages = [*tiny_model.question, *user("", reply.text, "And?")[1:]]
        goes_on = talk(runner, messages, max_new_tokens=20)
        assert goes_on.reused == reply.end["usage"]["prompt_tokens"] + 60 - 1
        assert goes_on.text == talk(runner, messages, conversation="new", max_new_tokens=20).text
        runner.send({"type": "release", "conversation": "new"})

    def test_nobody_is_left_for_some_blocks(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        used = swarm.route(talk(runner, tiny_model.question).started)[1][2]
        reply = ask_and_break(runner, tiny_model, swarm, used, signal.SIGKILL)
        assert reply.end["code"] == "missing_blocks"
        assert reply.end["missing"] == [[4, 6]]
        assert tiny_model.answer.startswith(reply.text)
        assert len(reply.text) >= 5
        routes = [event for event in runner.events if event["type"] == "route"]
        assert routes[-1]["missing"] == [[4, 6]]

        def refused() -> float:
            asked = time.monotonic()
            assert talk(runner, tiny_model.question).end["missing"] == [[4, 6]]
            return time.monotonic() - asked

        require_prompt(refused, 3)

    def test_a_server_that_joins_later_is_used(
        self, runner: RunnerProcess, tiny_model: TinyModel, swarm: Swarm
    ) -> None:
        joined = swarm.start("joined", "4:7")
        runner.until(lambda event: event.get("stage") == "ready")
        joined.wait_serving()
        reply = talk(runner, tiny_model.question, max_new_tokens=60)
        assert reply.text == tiny_model.answer
        assert [hop[2] for hop in swarm.route(reply.end)] == ["head", "joined", "end"]
