"""Sessions of conversations: reused, set back, few at a time, and free again."""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.promptness import require_prompt

from .conftest import TinyModel, start_chat
from .runner_process import RunnerProcess, ServerProcess, runner_environment
from .talking import reply_to, send, talk, tokens_of, user

pytestmark = pytest.mark.swarm

SERVING = re.compile(
    r"(?P<prompt>\d+)\+(?P<generated>\d+) tokens, (?P<open>\d+) open of (?P<requests>\d+) requests,"
    r" cache (?P<cache>\d+)/\d+ tokens .* bytes, (?P<received>\d+)/(?P<sent>\d+) bytes,"
    r" (?P<clients>\d+) clients"
)
SHORT_SESSION = 400
CYCLE = "aü茶👍 ш"  # as make_tiny_model.py has it


@pytest.fixture(scope="module")
def runner(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> Iterator[RunnerProcess]:
    process = start_chat(petals_python, tiny_model, server.address)
    try:
        process.until(lambda event: event.get("stage") == "ready")
        yield process
    finally:
        process.destroy()


@pytest.fixture(scope="module")
def forward_only(petals_python: Path, tiny_model: TinyModel) -> Iterator[RunnerProcess]:
    """A runner whose server has no rewinding, and takes short sessions only."""
    options = ["--no-rewind"]
    for text in (f"inference_max_length={SHORT_SESSION}", "num_handlers=3"):
        options += ["--petals-option", text]
    serving = ServerProcess(petals_python, tiny_model.folder, "--new-swarm", *options)
    process = None
    try:
        process = start_chat(petals_python, tiny_model, serving.wait_serving().address)
        process.until(lambda event: event.get("stage") == "ready")
        yield process
    finally:
        for started in (process, serving):
            if started is not None:
                started.destroy()


def closed_sessions(server: RunnerProcess) -> int:
    return sum("rpc_inference.close" in line for line in server.log)


def wait_closed(server: RunnerProcess, count: int, timeout_s: float) -> float:
    """Wait until so many sessions were closed; return how long it took."""
    began = time.monotonic()
    while closed_sessions(server) < count:
        assert time.monotonic() - began < timeout_s, server.log[-5:]
        time.sleep(0.01)
    return time.monotonic() - began


def test_started_says_what_is_on_its_way(runner: RunnerProcess, server: ServerProcess) -> None:
    reply = talk(runner, user("Good morning"), conversation="started")
    kinds = [event["type"] for event in reply.events]
    assert kinds[0] == "started"
    assert kinds[1:-1] == ["token"] * len(kinds[1:-1])
    assert reply.started["prompt_tokens"] == reply.end["usage"]["prompt_tokens"]
    assert (reply.started["reused_tokens"], reply.started["dropped_messages"]) == (0, 0)
    (hop,) = reply.started["route"]["hops"]
    assert (hop["first"], hop["end"]) == (0, 8)
    assert server.address.endswith(hop["peer"])
    assert reply.end["route"] == reply.started["route"]


def test_going_back_keeps_the_common_beginning(runner: RunnerProcess) -> None:
    first = talk(runner, user("Tell me of the sea"), conversation="back")
    second = talk(runner, user("Tell me of the sea", first.text, "And?"), conversation="back")
    assert second.reused == first.end["usage"]["prompt_tokens"] + 20 - 1
    # The same question again, another in its place, and the first one again.
    regenerated = talk(runner, user("Tell me of the sea", first.text, "And?"), conversation="back")
    assert regenerated.reused == second.end["usage"]["prompt_tokens"] - 1
    assert regenerated.text == second.text
    edited = user("Tell me of the sea", first.text, "Anything else?")
    again = talk(runner, edited, conversation="back")
    assert again.reused >= second.reused
    assert again.text == talk(runner, edited, conversation="fresh").text
    begun_anew = talk(runner, user("Tell me of the sea"), conversation="back")
    assert begun_anew.reused == first.end["usage"]["prompt_tokens"] - 1
    assert begun_anew.text == first.text


def test_a_server_that_cannot_go_back_gives_the_same_text(
    runner: RunnerProcess, forward_only: RunnerProcess
) -> None:
    first = talk(runner, user("Tell me of the sea"), conversation="same")
    for messages in (
        user("Tell me of the sea"),
        user("Tell me of the sea", first.text, "And?"),
        user("Tell me of the sea", first.text, "Anything else?"),
        user("Tell me of the sea"),
    ):
        expected = talk(runner, messages, conversation="same")
        reply = talk(forward_only, messages)
        assert reply.text == expected.text
        goes_on = messages[-1]["content"] == "And?"
        assert reply.reused == (expected.reused if goes_on else 0)


def test_a_server_that_takes_short_sessions_only_refuses_a_longer_question(
    forward_only: RunnerProcess,
) -> None:
    refused = talk(forward_only, user("Tell me of the sea " * SHORT_SESSION)).end
    assert refused["code"] == "context_full"
    assert f"a session holds {SHORT_SESSION}" in refused["message"]


def test_conversations_have_sessions_of_their_own_and_few_of_them(runner: RunnerProcess) -> None:
    text = {name: talk(runner, user("Hello", "Hi", name), conversation=name).text for name in "ab"}
    for name in "ab":
        reply = talk(runner, user("Hello", "Hi", name, text[name], "More"), conversation=name)
        assert reply.reused > 20
    talk(runner, user("A third"), conversation="c")  # "a" was not used for longest
    assert talk(runner, user("Hello", "Hi", "b"), conversation="b").reused > 0
    assert talk(runner, user("Hello", "Hi", "a"), conversation="a").reused == 0


def test_release_frees_the_cache(runner: RunnerProcess, server: ServerProcess) -> None:
    talk(runner, user("Hello there"), conversation="released")
    before = closed_sessions(server)
    runner.send({"type": "release", "conversation": "released"})
    wait_closed(server, before + 1, timeout_s=20)
    assert talk(runner, user("Hello there"), conversation="released").reused == 0


def test_a_stop_during_the_prompt_frees_the_cache_at_once(
    runner: RunnerProcess, server: ServerProcess
) -> None:
    def stopped() -> float:
        talk(runner, user("Hello there"), conversation="stopped")
        before = closed_sessions(server)
        request_id = send(runner, user("Hello there", "x" * 1500, "Go on"), conversation="stopped")
        runner.until(lambda event: event["type"] == "started")
        asked = time.monotonic()
        runner.send({"type": "cancel", "id": request_id})
        reply = reply_to(runner, request_id)
        took = time.monotonic() - asked
        assert reply.end["finish_reason"] == "cancelled"
        # The machine may have been faster than the stop.
        if not reply.text and wait_closed(server, before + 1, timeout_s=20) > 2:
            return math.inf
        return took

    require_prompt(stopped, 0.3)


def stop_after_some_tokens(runner: RunnerProcess) -> None:
    request_id = send(runner, user("A long one"), conversation="brief", max_new_tokens=1000)
    events = tokens_of(runner, request_id, 3)
    runner.send({"type": "cancel", "id": request_id})
    assert reply_to(runner, request_id, events).end["finish_reason"] == "cancelled"


def test_a_stopped_answer_keeps_its_session_only_for_moments(
    runner: RunnerProcess, server: ServerProcess
) -> None:
    # A step that takes longer than a stop may wait loses the session: on a busy machine, sometimes.
    for _ in range(5):
        stop_after_some_tokens(runner)
        resumed = talk(runner, user("A long one"), conversation="brief", max_new_tokens=5)
        if resumed.reused:
            break
    assert resumed.reused == resumed.end["usage"]["prompt_tokens"] - 1
    before = closed_sessions(server)
    stop_after_some_tokens(runner)
    assert wait_closed(server, before + 1, timeout_s=20) < 15


def test_stop_texts_end_an_answer(runner: RunnerProcess) -> None:
    whole = talk(runner, user("Until where?"), conversation="stops").text
    stop = whole[6:9]
    reply = talk(runner, user("Until where?"), conversation="stops", stop=["never this", stop])
    assert reply.text == whole[: whole.index(stop)]
    assert reply.end["finish_reason"] == "stop"
    after = user("Until where?", reply.text, "And then?")
    assert (
        talk(runner, after, conversation="stops").text
        == talk(runner, after, conversation="no stops").text
    )


def test_a_raw_prompt_is_continued_as_it_stands(
    runner: RunnerProcess, tiny_model: TinyModel
) -> None:
    question = tiny_model.question[0]["content"]
    prompt = f"<s><|user|>{question}<|assistant|>"
    reply = talk(runner, prompt=prompt, conversation="raw", max_new_tokens=60)
    assert reply.text == tiny_model.answer
    longer = talk(runner, prompt=prompt + reply.text[:10], conversation="raw", max_new_tokens=50)
    assert longer.text == tiny_model.answer[10:]


def test_the_oldest_turns_are_dropped_and_it_is_said(runner: RunnerProcess) -> None:
    turns = [character * 300 for character in "abcdefg"]
    reply = talk(runner, user(*turns), conversation="window")
    assert reply.started["dropped_messages"] == 4
    assert reply.started["prompt_tokens"] <= 1024
    # The next question finds room without another drop, and what is left in the session.
    turns += [reply.text, "And now?"]
    after = talk(runner, user(*turns), conversation="window")
    assert after.started["dropped_messages"] == 4
    assert after.reused > reply.started["prompt_tokens"]


def test_one_question_that_does_not_fit_is_refused_with_its_numbers(runner: RunnerProcess) -> None:
    reply = talk(runner, user("short", "answer", "x" * 3000), conversation="huge")
    assert reply.end["code"] == "context_full"
    assert "3003" in reply.end["message"]
    assert "2048" in reply.end["message"]


def test_full_servers_are_asked_once_more_without_the_idle_sessions(
    runner: RunnerProcess, petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    for name in ("one", "two"):  # which fills the server
        talk(runner, user("Hello"), conversation=name)
    other = start_chat(petals_python, tiny_model, server.address, "--max-retries", "1")
    try:
        other.until(lambda event: event.get("stage") == "ready")
        assert talk(other, user("Hello")).end["code"] == "busy"
        runner.send({"type": "release", "conversation": "two"})
        # The server hears of it a moment later.
        deadline = time.monotonic() + 20
        while (end := talk(other, user("Hello")).end)["type"] != "done":
            assert time.monotonic() < deadline, end
        # Now this one has an idle session, and no room for another.
        assert talk(runner, user("Hello"), conversation="three").end["type"] == "done"
        assert talk(runner, user("Hello"), conversation="one").reused == 0
    finally:
        other.destroy()


def test_without_a_template_2000_tokens_of_characters_in_pieces(
    petals_python: Path,
    tiny_model: TinyModel,
    server: ServerProcess,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "cycling"
    script = Path(__file__).with_name("make_tiny_model.py")
    subprocess.run(
        [str(petals_python), str(script), str(folder), str(tiny_model.folder)],
        check=True,
        timeout=120,
        env=runner_environment(),
    )
    model = TinyModel(folder, {})
    runner = start_chat(petals_python, model, server.address, "--dht-prefix", "tiny-hf")
    try:
        ready = runner.until(lambda event: event.get("stage") == "ready")[-1]
        assert ready["has_chat_template"] is False
        assert ready["prompt_format"] == "plain"
        asked = send(runner, user("Again"), max_new_tokens=2000)
        reply = reply_to(runner, asked, timeout_s=240)
        assert reply.end["usage"]["completion_tokens"] == 2000
        expected = CYCLE * (2000 // len(CYCLE.encode()) + 1)
        whole = expected.encode()[:2000].decode("utf-8", "ignore")
        assert reply.text == whole
        assert set("".join(reply.pieces)) == set(CYCLE)
    finally:
        runner.destroy()


def served_numbers(line: str) -> dict[str, int]:
    """What a server's own line tells; see served_counters.py."""
    found = SERVING.search(line)
    assert found, line
    return {name: int(number) for name, number in found.groupdict().items()}


def wait_served(server: ServerProcess, wanted: str, after: int) -> dict[str, int]:
    """Wait for such a line after so many lines of the log; they come every two seconds."""
    deadline = time.monotonic() + 30
    while True:
        for line in server.log[after:]:
            if "Serving: " in line and wanted in line:
                return served_numbers(line)
        assert time.monotonic() < deadline, server.log[-5:]
        time.sleep(0.05)


def test_the_server_tells_tokens_cache_and_clients_until_they_have_left(
    runner: RunnerProcess, server: ServerProcess
) -> None:
    reply = talk(runner, user("What is said of me?"), conversation="told", max_new_tokens=20)
    usage = reply.end["usage"]
    told = wait_served(server, " 1 clients: ", len(server.log))
    assert told["cache"] > usage["prompt_tokens"]
    assert told["open"] > 0
    assert told["prompt"] >= usage["prompt_tokens"]
    assert told["generated"] >= usage["completion_tokens"] - 1
    assert told["received"] > 0
    assert told["sent"] > 0
    after = len(server.log)
    runner.close_stdin()
    runner.wait()
    left = wait_served(server, " 0 clients", after)
    assert (left["open"], left["cache"]) == (0, 0)
    assert left["requests"] >= told["requests"]
