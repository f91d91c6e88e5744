"""The chat runner's protocol, on a running swarm."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.promptness import require_prompt

from .conftest import TinyModel, start_chat
from .runner_process import Event, RunnerProcess, ServerProcess, gone, run_script

INFERENCE = "run_petals_inference.py"
Messages = list[dict[str, str]]


def ask(runner: RunnerProcess, request_id: str, messages: Any, **options: Any) -> None:
    runner.send({"type": "generate", "id": request_id, "messages": messages, **options})


def is_end(event: Event) -> bool:
    return event["type"] in ("done", "error")


def text_of(events: list[Event], request_id: str) -> str:
    tokens = [event for event in events if event["type"] == "token"]
    return "".join(event["text"] for event in tokens if event["id"] == request_id)


def answer(
    runner: RunnerProcess, request_id: str, messages: Any, **options: Any
) -> tuple[str, Event]:
    ask(runner, request_id, messages, **options)
    events = runner.until(is_end)
    return text_of(events, request_id), events[-1]


def test_bad_usage_is_one_sentence() -> None:
    result = run_script(sys.executable, INFERENCE, "--model-name", "a/b", "--temperature", "hot")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "--temperature: 'hot' is not accepted: give a number from 0 to 10." in result.stderr
    folder = run_script(sys.executable, INFERENCE, "--model-name", "/", "--revision", "v1")
    assert folder.returncode == 2
    assert "--revision v1: / is a folder, which has no revisions." in folder.stderr


def test_a_missing_model_is_fatal(tmp_path: Path) -> None:
    runner = RunnerProcess(sys.executable, INFERENCE, "--model-name", str(tmp_path / "none"))
    try:
        event = runner.next_event()
        assert event["code"] == "model_not_found"
        assert event["id"] is None
        assert event["fatal"] is True
        assert runner.wait() == 1
    finally:
        runner.destroy()


@pytest.mark.swarm
def test_unreachable_peers_are_fatal(petals_python: Path, tiny_model: TinyModel) -> None:
    peer = "/ip4/127.0.0.1/tcp/9/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
    runner = start_chat(petals_python, tiny_model, peer)
    try:
        event = runner.until(is_end)[-1]
        assert event["code"] == "connection_failed"
        assert event["fatal"] is True
        assert peer in event["message"]
        assert runner.wait() == 1
    finally:
        runner.destroy()


@pytest.mark.swarm
class TestConversation:
    """One warm runner; the tests do not depend on each other's turns."""

    def test_starts_in_stages_and_answers_like_the_local_model(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        if not chat._read_events:
            stages = chat.until(lambda event: event.get("stage") == "ready")
            assert [event["stage"] for event in stages if event["type"] == "status"] == [
                "importing",
                "tokenizer",
                "connecting",
                "routing",
                "ready",
            ]
            assert stages[-1]["num_blocks"] == 8
            assert stages[-1]["has_chat_template"] is True
        text, done = answer(chat, "local", tiny_model.question, max_new_tokens=60)
        assert text == tiny_model.answer
        assert done["finish_reason"] == "length"
        assert done["usage"]["prompt_tokens"] == tiny_model.reference["prompt_tokens"]
        assert done["usage"]["completion_tokens"] == 60
        assert done["timing"]["tokens_per_s"] > 0

    def test_the_next_turn_reuses_the_session(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        messages = list(tiny_model.question)
        text, done = answer(chat, "first", messages, max_new_tokens=20)
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And?"}]
        reused_text, reused = answer(chat, "second", messages, max_new_tokens=20)
        held = done["usage"]["prompt_tokens"] + done["usage"]["completion_tokens"] - 1
        assert reused["usage"]["reused_tokens"] == held
        answer(chat, "other", [{"role": "user", "content": "Else"}], max_new_tokens=1)
        anew_text, anew = answer(chat, "anew", messages, max_new_tokens=20)
        assert anew["usage"]["reused_tokens"] == 0
        assert anew_text == reused_text

    def test_cancel_ends_it_at_once_and_keeps_the_session(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        chat.send({"type": "cancel", "id": "unknown"})

        def ended() -> float:
            messages = list(tiny_model.question)
            ask(chat, "long", messages, max_new_tokens=1000)
            events = chat.until(lambda event: event["type"] == "token")
            asked = time.monotonic()
            chat.send({"type": "cancel", "id": "long"})
            events += chat.until(is_end)
            took = time.monotonic() - asked
            assert events[-1]["finish_reason"] == "cancelled"
            text = text_of(events, "long")
            assert text
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Go"}]
            done = answer(chat, "next", messages, max_new_tokens=5)[1]
            # A step that takes longer than a stop may wait loses the session.
            return took if done["usage"]["reused_tokens"] else math.inf

        require_prompt(ended, 2)

    def test_a_waiting_question_is_answered_next_and_can_be_cancelled(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        ask(chat, "one", tiny_model.question, max_new_tokens=300)
        ask(chat, "two", tiny_model.question, max_new_tokens=300)
        ask(chat, "three", tiny_model.question, max_new_tokens=5)
        ask(chat, "three", tiny_model.question)
        chat.send({"type": "cancel", "id": "two"})
        ends: dict[str, Event] = {}
        while not {"one", "two", "three"} <= {k for k, v in ends.items() if v["type"] == "done"}:
            event = chat.until(is_end)[-1]
            if event["type"] == "error":
                assert event["id"] == "three"
                assert event["code"] == "bad_request"
            else:
                ends[event["id"]] = event
        assert list(ends) == ["two", "one", "three"]
        assert ends["two"]["finish_reason"] == "cancelled"
        assert ends["two"]["usage"]["completion_tokens"] == 0

    def test_too_many_questions_are_refused(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        names = [f"many{index}" for index in range(12)]
        for name in names:
            ask(chat, name, tiny_model.question, max_new_tokens=2)
        ends: dict[str, Event] = {}
        while len(ends) < len(names):
            event = chat.until(is_end)[-1]
            ends[event["id"]] = event
        codes = [event["code"] for event in ends.values() if event["type"] == "error"]
        assert set(codes) <= {"busy"}
        assert len(ends) - len(codes) >= 9

    def test_seed_decides_a_sampled_answer(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        options = {"max_new_tokens": 12, "temperature": 1.5, "top_p": 0.9}
        texts = [
            answer(chat, f"seed{index}", tiny_model.question, seed=seed, **options)[0]
            for index, seed in enumerate((7, 7, 8))
        ]
        assert texts[0] == texts[1] != texts[2]

    def test_lines_that_do_not_parse_are_skipped(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        for line in (b"{", b"[]", b"\xff\xfe", b'{"id": 3}', b"", b"null", b"[" * 100_000):
            chat.send(line)
        text, done = answer(chat, "still", tiny_model.question, max_new_tokens=3)
        assert done["type"] == "done"
        assert text == tiny_model.answer[:3]

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"messages": "hi"}, ["messages", '"hi"', "list"]),
            ({"messages": []}, ["messages", "[]"]),
            ({"messages": [{"role": "robot", "content": ""}]}, ["role", '"robot"', "assistant"]),
            ({"messages": [{"role": "user", "content": 5}]}, ["content", "5", "text"]),
            ({"max_new_tokens": 0}, ["max_new_tokens", "0", "from 1 to"]),
            ({"max_new_tokens": True}, ["max_new_tokens", "true"]),
            ({"temperature": "warm"}, ["temperature", '"warm"', "from 0 to 10"]),
            ({"top_p": 1.5}, ["top_p", "1.5", "from 0 to 1"]),
            ({"seed": -1}, ["seed", "-1", "from 0"]),
            ({"type": "sing"}, ["type", '"sing"', "generate"]),
            ({"stop": "now"}, ["stop", '"now"', "list of at most 16"]),
            ({"stop": ["."] * 17}, ["stop", '"."', "list of at most 16"]),
            ({"stop": [".", ""]}, ["stop[1]", '""', "1 to 200"]),
            ({"prompt": "Once"}, ["prompt", '"Once"', "messages", "one of the two"]),
            ({"prompt": 5, "messages": None}, ["prompt", "5", "text"]),
            ({"prompt": "", "messages": None}, ["prompt", '""', "at least one character"]),
            ({"conversation": "c" * 201}, ["conversation", '"ccc', "at most 200"]),
        ],
    )
    def test_wrong_fields_are_named(
        self, chat: RunnerProcess, tiny_model: TinyModel, fields: Event, words: list[str]
    ) -> None:
        request = {"type": "generate", "id": "bad", "messages": tiny_model.question}
        chat.send(request | fields)
        event = chat.next_event()
        assert event["code"] == "bad_request"
        assert event["id"] == "bad"
        for word in words:
            assert word in event["message"]

    def test_a_conversation_that_does_not_fit_is_refused(
        self, chat: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        event = answer(chat, "huge", [{"role": "user", "content": "x" * 3000}])[1]
        assert event["code"] == "context_full"
        nearly = [{"role": "user", "content": "x" * 2040}]
        done = answer(chat, "nearly", nearly, max_new_tokens=100)[1]
        assert done["finish_reason"] == "length"
        assert done["usage"]["completion_tokens"] < 10
        assert answer(chat, "after", tiny_model.question, max_new_tokens=1)[1]["type"] == "done"

    def test_shutdown_leaves_nothing(self, chat: RunnerProcess) -> None:
        family = chat.family()
        chat.send({"type": "shutdown"})
        assert chat.wait(5) == 0
        assert not gone(family)
        assert not any("Traceback" in line for line in chat.log)


def _end_by_eof(runner: RunnerProcess) -> None:
    runner.close_stdin()


def _end_by_sigterm(runner: RunnerProcess) -> None:
    runner.process.send_signal(signal.SIGTERM)


def _end_by_kill(runner: RunnerProcess) -> None:
    runner.process.kill()


@pytest.mark.swarm
@pytest.mark.parametrize(
    ("stage", "end", "code"),
    [
        ("importing", _end_by_eof, 0),
        ("connecting", _end_by_sigterm, 0),
        ("ready", _end_by_eof, 0),
        ("ready", _end_by_sigterm, 0),
        ("ready", _end_by_kill, -signal.SIGKILL),
    ],
)
def test_however_it_ends_nothing_is_left(
    petals_python: Path,
    tiny_model: TinyModel,
    server: ServerProcess,
    stage: str,
    end: Callable[[RunnerProcess], None],
    code: int,
) -> None:
    runner = start_chat(petals_python, tiny_model, server.address)
    try:
        runner.until(lambda event: event.get("stage") == stage)
        if stage == "ready":  # in the middle of an answer
            ask(runner, "a", tiny_model.question, max_new_tokens=1500)
            runner.until(lambda event: event["type"] == "token")
        family = runner.family()
        end(runner)
        assert runner.wait(5) == code
        assert not gone(family)
    finally:
        runner.destroy()


@pytest.mark.swarm
def test_missing_blocks_are_said_before_a_question_and_after_it(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    runner = start_chat(petals_python, tiny_model, server.address, "--dht-prefix", "nobody-hf")
    try:
        events = runner.until(lambda event: event["type"] == "route")
        assert events[-2]["stage"] == "routing"
        assert (events[-1]["complete"], events[-1]["missing"]) == (False, [[0, 8]])
        event = answer(runner, "q", tiny_model.question)[1]
        assert (event["id"], event["code"], event["missing"]) == ("q", "missing_blocks", [[0, 8]])
    finally:
        runner.destroy()


@pytest.mark.swarm
def test_an_adapter_that_no_server_hosts_is_told_with_the_blocks(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    runner = start_chat(petals_python, tiny_model, server.address, "--adapter", "acme/lora")
    try:
        route = runner.until(lambda event: event["type"] == "route")[-1]
        assert (route["missing"], route["without_adapter"]) == ([[0, 8]], [[0, 8]])
        event = answer(runner, "q", tiny_model.question)[1]
        assert (event["code"], event["missing"]) == ("adapter_missing", [[0, 8]])
        assert "No server hosts the adapter acme/lora" in event["message"]
    finally:
        runner.destroy()


@pytest.mark.swarm
def test_a_server_that_joins_makes_the_route_complete(
    petals_python: Path, tiny_model: TinyModel
) -> None:
    folder = tiny_model.folder
    servers = [ServerProcess(petals_python, folder, "--new-swarm", "--blocks", "0:3")]
    runner = None
    try:
        address = servers[0].wait_serving().address
        runner = start_chat(petals_python, tiny_model, address)
        route = runner.until(lambda event: event["type"] == "route")[-1]
        assert (route["complete"], route["missing"]) == (False, [[3, 8]])
        servers.append(
            ServerProcess(petals_python, folder, "--initial-peer", address, "--blocks", "3:8")
        )
        events = runner.until(lambda event: event.get("stage") == "ready")
        hops = [(hop["first"], hop["end"], hop["peer"]) for hop in events[-2]["hops"]]
        peers = [server.address.rpartition("/")[2] for server in servers]
        assert hops == [(0, 3, peers[0]), (3, 8, peers[1])]
        assert answer(runner, "q", tiny_model.question, max_new_tokens=60)[0] == tiny_model.answer
    finally:
        for process in (*servers, runner):
            if process is not None:
                process.destroy()


@pytest.mark.swarm
def test_a_killed_server_is_replaced_and_the_last_one_is_missed(
    petals_python: Path, tiny_model: TinyModel
) -> None:
    servers = [ServerProcess(petals_python, tiny_model.folder, "--new-swarm", "--blocks", "0:8")]
    runner = None
    try:
        first = servers[0].wait_serving()
        servers.append(
            ServerProcess(petals_python, tiny_model.folder, "--initial-peer", first.address)
        )
        servers[1].wait_serving()
        runner = start_chat(petals_python, tiny_model, servers[1].address, "--max-retries", "2")
        runner.until(lambda event: event.get("stage") == "ready")
        text = kill_the_serving_one(runner, servers, "replaced", tiny_model)
        assert text == tiny_model.answer
        kill_the_serving_one(runner, servers, "missed", tiny_model, expect="missing_blocks")
        event = answer(runner, "later", tiny_model.question)[1]
        assert event["code"] == "missing_blocks"
        runner.send({"type": "shutdown"})
        assert runner.wait(5) == 0
    finally:
        for process in (*servers, runner):
            if process is not None:
                process.destroy()


def kill_the_serving_one(
    runner: RunnerProcess,
    servers: list[ServerProcess],
    request_id: str,
    model: TinyModel,
    expect: str | None = None,
) -> str:
    """Kill the server in use after a few tokens of an answer, and return the whole answer."""
    # One that is to be missed is given the time to be killed in.
    ask(runner, request_id, model.question, max_new_tokens=1000 if expect else 60)
    events: list[Event] = []
    while sum(event["type"] == "token" for event in events) < 5:
        events.append(runner.next_event())
    route = [line for line in runner.log if "Route found" in line][-1]
    serving = next(server for server in servers if server.address[-6:] in route)
    serving.process.kill()
    servers.remove(serving)
    serving.destroy()
    events += runner.until(is_end)
    assert events[-1].get("code") == expect
    return text_of(events, request_id)


@pytest.mark.swarm
def test_one_shot_prints_the_answer_alone(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    result = run_script(
        petals_python,
        INFERENCE,
        "--model-name",
        str(tiny_model.folder),
        "--initial-peer",
        server.address,
        "--prompt",
        tiny_model.question[0]["content"],
        "--stream",
        "--max-new-tokens",
        "60",
    )
    assert result.returncode == 0
    assert result.stdout == tiny_model.answer + "\n"
