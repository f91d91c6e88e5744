"""What `ask` prints, keeps and goes on with."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.fakes import Scene, serving
from torbiz_tui.cli import main
from torbiz_tui.download import Download
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    Hop,
    Message,
    Recovered,
    Recovering,
    Route,
    RouteChanged,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.inference.runner_messages import read_error

Capture = pytest.CaptureFixture[str]
ROUTE = Route(8, (Hop(0, 8, "QmAlice", "alice"),))
ROUTE_JSON = {
    "num_blocks": 8,
    "complete": True,
    "missing": [],
    "hops": [{"first": 0, "end": 8, "peer": "QmAlice", "name": "alice"}],
    "local": False,
}
ANSWER: list[ChatEvent] = [
    StageChanged("connecting"),
    TokenReceived("Hello "),
    TokenReceived("wörld"),
    AnswerDone("stop", 5, 1, 2, 0.25, 8.0),
]


def lines(capsys: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def asked(scene: Scene) -> tuple[list[Message], str]:
    """The messages and the conversation of the one question."""
    assert scene.inference is not None
    ((messages, _options),) = scene.inference.asked
    return messages, scene.inference.conversations[0]


def test_the_answer_is_streamed_and_its_line_ended(scene: Scene, capsys: Capture) -> None:
    scene.events = ANSWER
    options = ["--system", "Brief", "--temperature", "0.5", "--stop", "END", "--stop", ";"]
    assert main(["ask", "--model", "m", *options, "a", "b"]) == 0
    assert capsys.readouterr().out == "Hello wörld\n"
    assert scene.inference is not None
    ((messages, given),) = scene.inference.asked
    assert messages == [Message("system", "Brief"), Message("user", "a b")]
    assert (given.temperature, given.max_new_tokens, given.stop) == (0.5, 512, ("END", ";"))
    assert scene.inference.closed


def test_each_event_is_a_json_line(scene: Scene, capsys: Capture) -> None:
    scene.events = [
        StageChanged("downloading", Download(10, 30, 5, 4)),
        StageChanged("connecting"),
        RouteChanged(ROUTE),
        AnswerStarted(5, 1, 2, ROUTE),
        TokenReceived("Hello "),
        Recovering(4, 8),
        Recovered(0.7, ROUTE),
        TokenReceived("wörld"),
        AnswerDone("stop", 5, 1, 2, 0.25, 8.0, ROUTE),
    ]
    assert main(["ask", "--demo", "--json", "hi"]) == 0
    *told, done = lines(capsys)
    download = {"done": 10, "total": 30, "rate": 5, "remaining_s": 4, "waiting": ""}
    assert told == [
        {"type": "stage", "stage": "downloading", "download": download},
        {"type": "stage", "stage": "connecting"},
        {"type": "route", **ROUTE_JSON},
        {
            "type": "started",
            "prompt_tokens": 5,
            "reused_tokens": 1,
            "dropped_messages": 2,
            "route": ROUTE_JSON,
        },
        {"type": "token", "text": "Hello "},
        {"type": "recovering", "first": 4, "end": 8},
        {"type": "recovered", "seconds": 0.7, "route": ROUTE_JSON},
        {"type": "token", "text": "wörld"},
    ]
    assert done.pop("conversation") > 0
    assert done == {
        "type": "done",
        "model": "torbiz-demo",
        "prompt": "hi",
        "answer": "Hello wörld",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 5, "reused_tokens": 1, "completion_tokens": 2},
        "timing": {"first_token_s": 0.25, "tokens_per_s": 8.0},
        "route": ROUTE_JSON,
    }


@pytest.mark.parametrize("arguments", [["-"], []])
def test_the_question_is_read_from_standard_input(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    scene.events = ANSWER
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße\nan alle\n".encode())))
    assert main(["ask", "--demo", *arguments]) == 0
    assert asked(scene)[0] == [Message("user", "Grüße\nan alle")]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"  \n", "The question is empty."),
        (b"\xff", "not UTF-8"),
        (b"a" * 1_000_001, "longer than 1 MB"),
    ],
)
def test_what_is_no_question_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, data: bytes, sentence: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["ask", "--demo"]) == 2
    assert sentence in capsys.readouterr().err


def test_without_a_name_it_is_the_model_that_is_hosted_here(scene: Scene, capsys: Capture) -> None:
    scene.events = ANSWER
    assert main(["ask", "--no-history", "Hello"]) == 2
    assert "Which model should answer?" in capsys.readouterr().err
    hosted = serving("my-llama")
    assert hosted.spec is not None
    # Only its owner's folder says where it is.
    scene.state = replace(hosted, spec=replace(hosted.spec, source="/models/my-llama"))
    assert main(["ask", "--no-history", "Hello"]) == 0
    assert scene.inference is not None
    assert scene.inference.model == "/models/my-llama"


def test_nobody_serves_some_blocks(scene: Scene, capsys: Capture) -> None:
    scene.events = [
        NotServedError("Nobody serves blocks 5–7 now.", remedy="Share them.", missing=((5, 8),))
    ]
    assert main(["ask", "--demo", "hi"]) == 5
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (
        "",
        "torbiz-tui: Nobody serves blocks 5–7 now.\n  Share them.\n",
    )
    assert main(["ask", "--demo", "--json", "hi"]) == 5
    (error,) = lines(capsys)
    assert (error["type"], error["code"]) == ("error", "missing_blocks")
    assert error["missing"] == [[5, 8]]


def test_what_came_before_a_failure_is_printed_and_kept(scene: Scene, capsys: Capture) -> None:
    scene.events = [TokenReceived("Half"), TorbizError("The chat runner has died.")]
    assert main(["ask", "--demo", "hi"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "Half\n"
    assert "The chat runner has died." in captured.err
    assert main(["ask", "--demo", "--json", "-c", "again"]) == 1
    token, error = lines(capsys)
    assert token == {"type": "token", "text": "Half"}
    assert (error["message"], error["answer"]) == ("The chat runner has died.", "Half")
    assert asked(scene)[0] == [
        Message("user", "hi"),
        Message("assistant", "Half"),
        Message("user", "again"),
    ]


def test_going_on_asks_the_last_conversation_as_it_was_asked(scene: Scene, capsys: Capture) -> None:
    scene.events = ANSWER
    assert main(["ask", "--model", "mine", "--system", "Brief", "--seed", "7", "one"]) == 0
    first = asked(scene)[1]
    assert main(["ask", "--demo", "--continue", "--max-tokens", "9", "two"]) == 0
    messages, conversation = asked(scene)
    assert [message.content for message in messages] == ["Brief", "one", "Hello wörld", "two"]
    assert conversation == first
    assert scene.inference is not None
    assert scene.inference.model == "mine"
    options = scene.inference.asked[0][1]
    assert (options.seed, options.max_new_tokens) == (7, 9)
    assert capsys.readouterr().err == ""


def test_going_on_asks_where_it_was_asked(scene: Scene) -> None:
    scene.events = ANSWER
    assert main(["ask", "--demo", "--local", "one"]) == 0
    assert main(["ask", "--demo", "--continue", "two"]) == 0
    assert scene.inference is not None
    assert scene.inference.local


def test_a_named_revision_is_for_the_model_of_the_conversation(scene: Scene) -> None:
    scene.events = ANSWER
    assert main(["ask", "--model", "acme/one", "one"]) == 0
    assert main(["ask", "--continue", "--revision", "v2", "two"]) == 0
    assert scene.inference is not None
    assert (scene.inference.model, scene.inference.revision) == ("acme/one", "v2")


def test_an_adapter_stays_with_its_conversation_and_its_model(scene: Scene) -> None:
    scene.events = ANSWER
    assert main(["ask", "--model", "acme/one", "--adapter", "mine", "one"]) == 0
    asked: list[tuple[str, str | None]] = []
    for arguments in ((), ("--model", "acme/two"), ("--adapter", "other/lora")):
        assert main(["ask", "--continue", *arguments, "two"]) == 0
        assert scene.inference is not None
        asked.append((scene.inference.model, scene.inference.adapter))
    assert asked == [("acme/one", "mine"), ("acme/two", ""), ("acme/two", "other/lora")]


def test_there_is_nothing_to_go_on_with(scene: Scene, capsys: Capture) -> None:
    assert main(["ask", "--demo", "-c", "hi"]) == 2
    assert "There is no conversation to go on with." in capsys.readouterr().err


def test_without_history_nothing_is_kept(scene: Scene, home: Path, capsys: Capture) -> None:
    scene.events = ANSWER
    assert main(["ask", "--demo", "--json", "--no-history", "hi"]) == 0
    assert lines(capsys)[-1]["conversation"] is None
    assert not (home / "history.db").exists()


def test_the_answer_comes_when_the_history_cannot_be_opened(
    scene: Scene, home: Path, capsys: Capture
) -> None:
    home.mkdir()
    (home / "history.db").write_text("This is no database, and long enough to be seen as none.")
    scene.events = ANSWER
    assert main(["ask", "--demo", "hi"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Hello wörld\n"
    (told,) = captured.err.splitlines()
    assert "This conversation is not kept now" in told
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(home / "history.db").execute("SELECT * FROM sqlite_master").fetchall()


def test_what_happens_is_told_on_a_terminal(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name in ("someone_watches", "someone_reads"):
        monkeypatch.setattr(f"torbiz_tui.commands.answer_output.{name}", lambda: True)
    scene.events = [
        StageChanged("downloading", Download(1_000_000, 30_000_000, 5_000_000, 6)),
        StageChanged("downloading", Download(2_000_000, 30_000_000, 5_000_000, 6)),
        StageChanged(
            "downloading", Download(2_000_000, 30_000_000, waiting="the hub answered 503")
        ),
        StageChanged("downloading", Download(30_000_000, 30_000_000, 5_000_000, 0)),
        StageChanged("connecting"),
        AnswerStarted(5, 1, 2, ROUTE),
        TokenReceived("Hello "),
        Recovering(8, 16),
        Recovered(0.72, ROUTE),
        TokenReceived("world"),
        AnswerDone("length", 5, 1, 2, 0.25, 8.0),
    ]
    assert main(["ask", "--demo", "hi"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Hello \nworld\n"
    assert captured.err.splitlines() == [
        "Downloading: 1 of 30 MB, 5.0 MB/s, 6 s left",
        "Downloading: 2 of 30 MB, waiting: the hub answered 503",
        "Downloading: 30 of 30 MB, 5.0 MB/s",
        "Connecting to the swarm …",
        "The oldest 2 messages do not fit any more: the model does not see them.",
        "Looking for another server for blocks 8–15 …",
        "Going on after 0.7 s.",
        "The answer was cut after 2 tokens (--max-tokens).",
    ]


def test_local_mode_is_asked_for(scene: Scene) -> None:
    scene.events = ANSWER
    assert main(["ask", "--demo", "--local", "hi"]) == 0
    assert scene.config is not None
    assert scene.config.ask.local


def test_what_is_known_of_an_error_is_told(scene: Scene, capsys: Capture) -> None:
    message = "ValidationError: local time must be within 3 seconds  of others(local: 1, peer: 2)"
    scene.events = [read_error({"code": "internal", "message": message}, "m", 8)]
    assert main(["ask", "--model", "m", "a"]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "The clock of this machine is wrong. Peers accept each other only" in told


def test_pickled_weights_can_be_allowed_beforehand(scene: Scene) -> None:
    scene.events = ANSWER
    assert main(["ask", "--model", "m", "--allow-pickled-weights", "hi"]) == 0
    assert scene.inference is not None
    assert scene.inference.pickled_allowed


@pytest.mark.parametrize(("says", "code", "printed"), [("y\n", 0, "Hello wörld\n"), ("\n", 1, "")])
def test_pickled_weights_are_asked_about_on_a_terminal(
    scene: Scene,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    says: str,
    code: int,
    printed: str,
) -> None:
    async def answer(question: str) -> str:
        sys.stderr.write(question)
        return says.strip()

    monkeypatch.setattr("torbiz_tui.commands.asking.someone_answers", lambda: True)
    monkeypatch.setattr("torbiz_tui.commands.asking.answer", answer)
    scene.events = [TorbizError("Pickled.", code="pickled_weights"), *ANSWER]
    assert main(["ask", "--model", "m", "hi"]) == code
    out, err = capsys.readouterr()
    assert out == printed
    assert "Load what may run code of its owner? [y/N]" in err
    assert scene.inference is not None
    assert scene.inference.pickled_allowed == (code == 0)


def test_pickled_weights_are_refused_where_nobody_answers(scene: Scene, capsys: Capture) -> None:
    scene.events = [TorbizError("Pickled.", code="pickled_weights"), *ANSWER]
    assert main(["ask", "--model", "m", "hi"]) == 1
    assert "Pickled." in capsys.readouterr().err
