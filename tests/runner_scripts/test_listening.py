"""The chat runner on a socket: many programs, one line of questions, and no trace afterwards."""

from __future__ import annotations

import importlib
import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.promptness import require_prompt

from .conftest import TinyModel, start_chat
from .runner_process import SCRIPTS, START_TIMEOUT_S, Event, RunnerProcess, ServerProcess, gone
from .socket_client import SocketClient

SCRIPTED = str(Path(__file__).with_name("scripted_runner.py"))

Start = Callable[..., RunnerProcess]


def is_end(event: Event) -> bool:
    return event["type"] in ("done", "error")


def text_of(events: list[Event], request_id: str) -> str:
    tokens = [event for event in events if event["type"] == "token"]
    return "".join(event["text"] for event in tokens if event["id"] == request_id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a runner listens: sockets need short paths."""
    return tmp_path / "run" / "ask.sock"


@pytest.fixture
def start(tmp_path: Path, path: Path) -> Iterator[Start]:
    """Starts runners with a scripted model on the socket."""
    runners: list[RunnerProcess] = []

    def start_runner(*arguments: str, linger: str = "60") -> RunnerProcess:
        model = ("--model-name", str(tmp_path))
        listen = ("--listen", str(path), "--linger", linger)
        runner = RunnerProcess(sys.executable, SCRIPTED, *model, *listen, *arguments)
        runner.close_stdin()
        runners.append(runner)
        return runner

    yield start_runner
    for runner in runners:
        runner.destroy()


def test_two_programs_asking_at_once_get_their_own_answers(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as one, SocketClient(path) as two:
        one.ask("q", "apple", max_new_tokens=20)
        two.ask("q", "pear", max_new_tokens=20)
        answers = [client.until(is_end) for client in (one, two)]
    assert text_of(answers[0], "q") == "apple " * 20
    assert text_of(answers[1], "q") == "pear " * 20
    assert [events[-1]["finish_reason"] for events in answers] == ["length", "length"]


def test_the_socket_is_for_this_user_alone(start: Start, path: Path) -> None:
    start()
    with SocketClient(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_later_program_is_told_how_things_stand(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as first:
        first.until_ready()
        with SocketClient(path) as second:
            status, route = second.next_event(), second.next_event()
    assert status is not None
    assert route is not None
    assert (status["type"], status["stage"], status["num_blocks"]) == ("status", "ready", 8)
    assert (status["prompt_format"], status["local"]) == ("template", False)
    assert (route["type"], route["complete"], route["hops"][0]["name"]) == ("route", True, "alice")


def test_a_program_that_vanishes_frees_its_places(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as staying:
        staying.until_ready()

        def freed() -> float:
            leaving = SocketClient(path)
            for index in range(9):
                leaving.ask(f"q{index}", "long", max_new_tokens=100_000)
            leaving.until(lambda event: event["type"] == "token")
            staying.ask("refused", "me")
            assert staying.until(is_end)[-1]["code"] == "busy"
            leaving.close()
            left = time.monotonic()
            while True:  # the runner hears of it a moment later
                staying.ask("taken", "me", max_new_tokens=3)
                events = staying.until(is_end)
                if events[-1]["type"] == "done":
                    break
                assert time.monotonic() < left + 60
            took = time.monotonic() - left
            assert text_of(events, "taken") == "me me me "
            return took

        require_prompt(freed, 2)


def test_a_waiting_question_is_cancelled_at_once(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as client:
        client.ask("runs", "long", max_new_tokens=100_000)
        client.until(lambda event: event["type"] == "token")
        client.ask("waits", "me")
        client.send({"type": "cancel", "id": "waits"})
        end = client.until(is_end)[-1]
        assert (end["id"], end["finish_reason"]) == ("waits", "cancelled")
        client.send({"type": "cancel", "id": "runs"})
        end = client.until(is_end)[-1]
        assert (end["id"], end["finish_reason"]) == ("runs", "cancelled")

        def cancelled() -> float:
            client.ask("again", "long", max_new_tokens=100_000)
            client.until(lambda event: event["type"] == "token")
            started = time.monotonic()
            client.send({"type": "cancel", "id": "again"})
            assert client.until(is_end)[-1]["finish_reason"] == "cancelled"
            return time.monotonic() - started

        require_prompt(cancelled, 0.2)


def test_a_program_that_does_not_read_blocks_nobody(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as slow, SocketClient(path) as brisk:
        slow.until_ready()
        slow.ask("q", "x" * 200_000, max_new_tokens=100_000)  # 5 MB after 25 tokens
        brisk.ask("q", "word", max_new_tokens=3)
        assert text_of(brisk.until(is_end), "q") == "word word word "
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                slow.send({"type": "cancel", "id": "none"})


def test_a_released_conversation_is_forgotten(start: Start, path: Path) -> None:
    start()
    reused = []
    with SocketClient(path) as client:
        for index in range(3):
            client.ask(f"q{index}", "a", conversation="c", max_new_tokens=1)
            reused.append(client.until(is_end)[-1]["usage"]["reused_tokens"])
            if index == 1:
                client.send({"type": "release", "conversation": "c"})
    assert reused == [0, 1, 0]


def test_a_second_start_on_the_same_socket_leaves_at_once(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as client:
        client.until_ready()
        second = start()
        assert second.wait() == 0
        assert second.log[-1].endswith(f"Another runner serves {path} already: leaving")
        client.ask("q", "still", max_new_tokens=1)
        assert client.until(is_end)[-1]["type"] == "done"


def test_a_second_start_is_not_taken_for_the_first_connection(
    start: Start, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    runner = start(linger="0")
    while not path.exists():
        assert runner.process.poll() is None
        time.sleep(0.01)
    # What it asks before it leaves.
    assert importlib.import_module("socket_file").SocketFile(path).listen() is None
    with pytest.raises(subprocess.TimeoutExpired):
        runner.process.wait(0.5)
    with SocketClient(path) as client:
        client.until_ready()


def test_of_many_starts_at_once_one_serves(start: Start, path: Path) -> None:
    runners = [start(linger="0") for _ in range(4)]
    with SocketClient(path) as client:
        client.until_ready()
        deadline = time.monotonic() + START_TIMEOUT_S
        while sum(runner.process.poll() is None for runner in runners) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        client.send({"type": "shutdown"})
        assert client.is_closed()
    assert [runner.wait(5) for runner in runners] == [0] * 4
    assert sum("already" in line for runner in runners for line in runner.log) == 3


def test_it_ends_when_nobody_is_connected_any_more(start: Start, path: Path) -> None:
    runner = start(linger="0.3")
    with SocketClient(path) as client:
        client.until_ready()
        with pytest.raises(TimeoutError):
            client.until(lambda _event: False, 0.6)  # it stays while somebody is connected
    assert runner.wait(5) == 0
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_removes_the_socket(
    start: Start, path: Path, signum: signal.Signals
) -> None:
    runner = start()
    with SocketClient(path) as client:
        client.ask("q", "long", max_new_tokens=100_000)
        client.until(lambda event: event["type"] == "token")
        runner.process.send_signal(signum)
        assert client.is_closed()
    assert runner.wait(5) == 0
    assert list(path.parent.iterdir()) == []


def test_the_socket_of_a_killed_runner_is_replaced(start: Start, path: Path) -> None:
    killed = start()
    with SocketClient(path) as client:
        client.until_ready()
        killed.process.kill()
        assert client.is_closed()
    killed.wait(5)
    assert path.exists()
    start()
    with SocketClient(path) as client:
        client.until_ready()


def test_why_it_cannot_start_is_told_and_not_kept(start: Start, path: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    runner = start()
    with SocketClient(path) as client:
        event = client.until(is_end)[-1]
        assert (event["code"], event["fatal"]) == ("model_not_found", True)
        assert client.is_closed()
    assert runner.wait(5) == 1
    assert list(path.parent.iterdir()) == []


def test_missing_blocks_are_told_at_once_until_somebody_serves_them(
    start: Start, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "missing").write_text("[[2, 5]]", "utf-8")
    start()
    with SocketClient(path) as client:
        route = client.until(lambda event: event["type"] == "route")[-1]
        assert (route["complete"], route["missing"]) == (False, [[2, 5]])
        client.ask("q", "hi", max_new_tokens=1)
        error = client.until(is_end, timeout_s=1)[-1]
        assert (error["id"], error["code"]) == ("q", "missing_blocks")
        assert error["missing"] == [[2, 5]]
        with SocketClient(path) as other:
            events = [other.next_event(), other.next_event()]
        assert [event and event["type"] for event in events] == ["status", "route"]
        assert events[0] is not None
        assert events[0]["stage"] == "routing"
        (tmp_path / "missing").unlink()
        changes = client.until_ready()
        assert [event["type"] for event in changes] == ["route", "status"]
        assert changes[0]["complete"] is True
        (tmp_path / "missing").write_text("[[0, 8]]", "utf-8")
        changes = client.until(lambda event: event["type"] == "status")
        assert (changes[0]["missing"], changes[1]["stage"]) == ([[0, 8]], "routing")


def test_a_place_where_it_cannot_listen_is_named(start: Start, path: Path) -> None:
    long = path.parent / ("x" * 100)
    refused = start("--listen", str(long))
    assert refused.wait() == 2
    assert "at most 100 bytes" in refused.log[-1]
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    refused = start()
    assert refused.wait() == 1
    assert f"{path.parent} is open to others" in refused.log[-1]
    path.parent.chmod(0o700)
    path.write_text("mine", "utf-8")
    refused = start()
    assert refused.wait() == 1
    assert "is there already and is not a socket" in refused.log[-1]
    assert path.read_text("utf-8") == "mine"


def test_a_line_in_pieces_and_one_that_is_too_long(start: Start, path: Path) -> None:
    start()
    with SocketClient(path) as client:
        client.until_ready()
        client.send(b"x" * (9 * 1024 * 1024))
        line = json.dumps({"type": "generate", "id": "q", "prompt": "on", "max_new_tokens": 2})
        for piece in (line[:10], line[10:]):
            client._socket.sendall(piece.encode())
            client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.send(b"")
        assert text_of(client.until(is_end), "q") == "on on "


@pytest.mark.swarm
def test_on_a_swarm_two_programs_share_a_runner_and_nothing_is_left(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess, path: Path
) -> None:
    listen = ("--listen", str(path), "--linger", "60")
    runner = start_chat(petals_python, tiny_model, server.address, *listen)
    try:
        with SocketClient(path) as one, SocketClient(path) as two:
            stages = [event["stage"] for event in one.until_ready() if event["type"] == "status"]
            assert stages[-2:] == ["routing", "ready"]
            question = {"type": "generate", "messages": tiny_model.question, "max_new_tokens": 60}
            one.send(question | {"id": "q", "conversation": "one"})
            two.send(question | {"id": "q", "conversation": "two"})
            assert text_of(one.until(is_end), "q") == tiny_model.answer
            assert text_of(two.until(is_end), "q") == tiny_model.answer
            one.send(question | {"id": "long", "max_new_tokens": 1500})
            one.until(lambda event: event["type"] == "token")
            family = runner.family()
            assert len(family) > 1
            runner.process.kill()
            assert one.is_closed()
        assert not gone(family)
    finally:
        runner.destroy()
