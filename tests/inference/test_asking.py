"""The chat service on the real socket form, with a model that says the question's words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import demo_config
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.environments.base import RunnerCommand, RunnerProcess
from torbiz_tui.environments.chat_records import ChatRecords
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.environments.processes import clean_environ, wait_gone
from torbiz_tui.environments.shared_runner import SharedRunners
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference import chosen_model, service
from torbiz_tui.inference.events import (
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths

SCRIPT = Path(__file__).parents[1] / "runner_scripts" / "scripted_runner.py"
ENDLESS = GenerateOptions(max_new_tokens=100_000)


class ScriptedDriver(NativeDriver):
    """Starts the script in place of Petals."""

    async def chat_runner(self, command: RunnerCommand, key: str) -> RunnerProcess:
        return await SharedRunners(self._paths).reach(
            key,
            command.title,
            [sys.executable, str(SCRIPT), *command.arguments],
            clean_environ({}),
            self._paths.logs / command.log_name,
        )


class Program:
    """What one program has: a service, and the models that are folders of the home."""

    def __init__(self, paths: Paths, config: Config) -> None:
        async def find(_model: ModelInfo) -> None:
            return None

        self.paths = paths
        self.inference = InferenceService(ScriptedDriver(paths, config), paths, config, find)
        self.records = ChatRecords(paths)

    async def ask(self, text: str, options: GenerateOptions | None = None) -> list[ChatEvent]:
        options = options or GenerateOptions(max_new_tokens=len(text.split()))
        async with asyncio.timeout(60):
            asking = self.inference.ask([Message("user", text)], options)
            return [event async for event in asking]


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenReceived))


def end_of(events: list[ChatEvent]) -> AnswerDone:
    assert isinstance(events[-1], AnswerDone)
    return events[-1]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    paths = Paths(tmp_path / "home")
    paths.ensure()

    async def resolve(name: str, paths: Paths, *, channel: str, revision: str) -> ModelInfo:
        assert (channel, revision) == ("release", "")
        folder = paths.models / name
        folder.mkdir(exist_ok=True)
        return ModelInfo(name, str(folder), "llama", 8)

    monkeypatch.setattr(chosen_model, "resolve_model", resolve)
    return paths


@pytest.fixture
async def program(paths: Paths) -> AsyncIterator[Program]:
    program = Program(paths, demo_config(paths.home, model="echo"))
    yield program
    await program.inference.close()
    for record in program.records.living():
        assert await wait_gone(record.pid, record.start_mark, 30)


async def test_answers_at_the_same_time_are_not_mixed_up(program: Program) -> None:
    answers = await asyncio.gather(*(program.ask(f"I am {n}") for n in range(6)))
    assert [text_of(events) for events in answers] == [f"I am {n} " for n in range(6)]
    again = await program.ask("and again")
    assert not any(isinstance(event, StageChanged) for event in again)


async def test_cancel_ends_every_answer_and_keeps_what_came(program: Program) -> None:
    first: list[ChatEvent] = []
    waiting: list[asyncio.Task[list[ChatEvent]]] = []
    async for event in program.inference.ask([Message("user", "one")], ENDLESS):
        if isinstance(event, TokenReceived) and not waiting:
            waiting = [asyncio.create_task(program.ask("two", ENDLESS)) for _ in range(3)]
            await asyncio.sleep(0)  # each begins, and waits
            await program.inference.cancel()
        first.append(event)
    answers = await asyncio.gather(*waiting)
    assert [end_of(events).finish_reason for events in (first, *answers)] == ["cancelled"] * 4
    assert text_of(first)
    assert text_of(await program.ask("go on")) == "go on "


async def test_a_cancel_of_one_conversation_leaves_the_others(program: Program) -> None:
    other: asyncio.Task[list[ChatEvent]] | None = None
    first: list[ChatEvent] = []
    async for event in program.inference.ask([Message("user", "a")], ENDLESS, conversation="1"):
        if isinstance(event, TokenReceived) and other is None:
            other = asyncio.create_task(program.ask("the other"))
            await asyncio.sleep(0)  # it begins, and waits
            await program.inference.cancel("1")
        first.append(event)
    assert other is not None
    assert end_of(first).finish_reason == "cancelled"
    assert text_of(await other) == "the other "


async def test_a_runner_that_hangs_is_ended_by_a_cancel(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_CANCEL_GRACE_S", 0.3)
    seen: list[ChatEvent] = []
    async with asyncio.timeout(60):
        async for event in program.inference.ask([Message("user", "one")], ENDLESS):
            seen.append(event)
            if isinstance(event, TokenReceived) and len(seen) < 100:
                (record,) = program.records.living()
                os.kill(record.pid, signal.SIGSTOP)
                seen += [event] * 100
                cancelling = asyncio.create_task(program.inference.cancel())
        await cancelling
    assert end_of(seen).finish_reason == "cancelled"
    assert text_of(await program.ask("another one")) == "another one "


async def test_a_word_that_does_not_come_is_not_waited_for_for_ever(paths: Paths) -> None:
    # The first word has to come within it.
    config = demo_config(paths.home, model="echo", **{"ask.idle_timeout_s": 1.5})
    program = Program(paths, config)
    with pytest.raises(TorbizError, match="No further word came") as caught:
        async for event in program.inference.ask([Message("user", "one")], ENDLESS):
            if isinstance(event, TokenReceived):
                (record,) = program.records.living()
                os.kill(record.pid, signal.SIGSTOP)
    assert caught.value.code == "timeout"
    os.kill(record.pid, signal.SIGCONT)
    await program.inference.close()
    assert await wait_gone(record.pid, record.start_mark, 30)


async def test_missing_blocks_are_said_until_somebody_serves_them(program: Program) -> None:
    missing = program.paths.models / "echo" / "missing"
    missing.parent.mkdir()
    missing.write_text(json.dumps([[2, 4], [7, 8]]))
    with pytest.raises(NotServedError, match="Nobody serves blocks 2–3, 7 of echo now") as caught:
        await program.ask("anyone there?")
    assert caught.value.missing == ((2, 4), (7, 8))
    assert program.inference.route is not None
    assert not program.inference.route.complete
    missing.write_text(json.dumps([[0, 8]]))
    with pytest.raises(NotServedError, match="Nobody serves echo now") as caught:
        await program.ask("anyone there?")
    assert caught.value.missing == ((0, 8),)
    missing.unlink()
    # It is asked, and not what was known of the route some seconds ago.
    assert text_of(await program.ask("and now?")) == "and now? "


async def test_another_model_is_asked_while_the_first_still_answers(program: Program) -> None:
    inference = program.inference
    first: list[ChatEvent] = []
    options = GenerateOptions(max_new_tokens=40)
    async for event in inference.ask([Message("user", "slowly")], options):
        if isinstance(event, TokenReceived) and inference.model == "echo":
            inference.choose("other")
            assert text_of(await program.ask("from the other")) == "from the other "
            assert len(program.records.living()) == 2
        first.append(event)
    assert text_of(first) == "slowly " * 40
    assert end_of(first).finish_reason == "length"
    # The runner that nobody asks any more is left with its last answer.
    for record in program.records.living():
        if record.model == "echo":
            assert await wait_gone(record.pid, record.start_mark, 30)


async def test_a_model_that_cannot_be_loaded_is_said(program: Program) -> None:
    (program.paths.models / "echo").mkdir()
    (program.paths.models / "echo" / "broken").touch()
    with pytest.raises(TorbizError, match="The model is broken") as caught:
        await program.ask("hello")
    assert caught.value.code == "model_not_found"


async def test_whoever_stops_listening_stops_the_answer(program: Program) -> None:
    async for event in program.inference.ask([Message("user", "one")], ENDLESS):
        if isinstance(event, TokenReceived):
            break
    assert text_of(await program.ask("next")) == "next "
