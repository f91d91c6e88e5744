"""Asking the demo model through a real swarm of one server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import demo_config
from torbiz_tui.assembly import Services, build_services
from torbiz_tui.environments.processes import wait_gone
from torbiz_tui.environments.shared_runner import SharedRunners
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    GenerateOptions,
    Message,
    RouteChanged,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.paths import Paths, demo_model

pytestmark = pytest.mark.swarm

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
QUESTION = "What is a swarm?"

LOCAL_ANSWERS = """
import json, sys, torch
from transformers import AutoTokenizer, LlamaForCausalLM
folder, questions = sys.argv[1], json.loads(sys.argv[2])
torch.set_num_threads(1)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = LlamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
answers = []
for question in questions:
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt"
    )
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=200,
        pad_token_id=tokenizer.eos_token_id,
    )
    answers.append(tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True))
print(json.dumps(answers))
"""


def local_answers(python: Path, questions: list[str]) -> list[str]:
    """What the same model says without a swarm, by transformers alone."""
    printed = subprocess.run(
        [python, "-W", "ignore", "-c", LOCAL_ANSWERS, demo_model(), json.dumps(questions)],
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[str] = json.loads(printed.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory, stack_home: Path) -> Path:
    home = tmp_path_factory.mktemp("asking") / "home"
    paths = Paths(home)
    paths.ensure()
    paths.env.symlink_to(Paths(stack_home).env, target_is_directory=True)
    return home


@pytest.fixture
async def services(shared_home: Path) -> AsyncIterator[Services]:
    services = build_services(demo_config(shared_home), Paths(shared_home))
    await services.sharing.start(services.sharing.default_request())
    await services.sharing.wait_serving(180)
    yield services
    await services.inference.close()
    await services.sharing.stop()
    await services.close()


async def answer(
    services: Services, *contents: str, max_new_tokens: int = 200
) -> tuple[str, AnswerDone, list[str]]:
    """Ask with the turns so far; the text, the end, and the stages on the way."""
    roles = ("user", "assistant")
    messages = [Message(roles[at % 2], content) for at, content in enumerate(contents)]  # type: ignore[arg-type]
    text, stages, done = "", [], None
    async with asyncio.timeout(180):
        async for event in services.inference.ask(
            messages, GenerateOptions(max_new_tokens=max_new_tokens)
        ):
            if isinstance(event, TokenReceived):
                text += event.text
            elif isinstance(event, StageChanged):
                stages.append(event.stage)
            elif isinstance(event, AnswerDone):
                done = event
    assert done is not None
    return text, done, stages


def runner_pid(services: Services) -> int:
    """The process of the one chat runner that lives."""
    (record,) = services.chat_runners()
    return record.pid


def ask_command(home: Path, *arguments: str) -> list[dict[str, Any]]:
    """The JSON lines that `ask` prints in a process of its own."""
    done = subprocess.run(
        [PROGRAM, "--demo", "--home", str(home), "ask", "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_the_swarm_says_what_the_model_says_locally(
    services: Services, petals_python: Path
) -> None:
    questions = [QUESTION, "How do I stop sharing?", "What is the weather today?"]
    local = await asyncio.to_thread(local_answers, petals_python, questions)
    through_swarm = [(await answer(services, question))[0] for question in questions]
    assert [text.strip() for text in through_swarm] == [text.strip() for text in local]
    assert all(local)

    # A second turn goes on in the same session: only the new tokens travel.
    text, done, stages = await answer(
        services, QUESTION, through_swarm[0], "How do I stop sharing?"
    )
    assert text
    assert stages == []
    _text, again, _ = await answer(
        services, QUESTION, through_swarm[0], "How do I stop sharing?", text, "What is a block?"
    )
    assert done.finish_reason == again.finish_reason == "stop"
    assert again.reused_tokens > done.prompt_tokens
    assert again.tokens_per_s > 0


async def test_stages_are_told_while_it_warms_up(services: Services) -> None:
    _text, _done, stages = await answer(services, QUESTION)
    assert stages[0] == "importing"
    order = ["importing", "tokenizer", "connecting", "routing", "ready"]
    assert sorted(set(stages), key=order.index) == list(dict.fromkeys(stages))


async def test_cancel_keeps_the_part_and_the_next_question_works(services: Services) -> None:
    text, pieces, done = "", 0, None
    asking = services.inference.ask([Message("user", QUESTION)], GenerateOptions())
    async with asyncio.timeout(120):
        async for event in asking:
            if isinstance(event, TokenReceived):
                text += event.text
                pieces += 1
                if pieces == 3:
                    await services.inference.cancel()
            elif isinstance(event, AnswerDone):
                done = event
    assert done is not None
    assert done.finish_reason == "cancelled"
    assert text
    whole, again, stages = await answer(services, QUESTION)
    assert whole.startswith(text)
    assert again.finish_reason == "stop"
    assert stages == []


async def test_a_runner_that_dies_keeps_the_part_and_is_replaced(services: Services) -> None:
    text = ""
    asking = services.inference.ask([Message("user", QUESTION)], GenerateOptions())
    with pytest.raises(TorbizError, match="chat runner has died") as caught:
        async with asyncio.timeout(120):
            async for event in asking:
                if isinstance(event, TokenReceived):
                    text += event.text
                    for record in services.chat_runners():
                        os.kill(record.pid, signal.SIGKILL)
    assert caught.value.code == "runner_died"
    assert "SIGKILL" in caught.value.why
    assert text
    whole, _done, stages = await answer(services, QUESTION)
    assert whole.startswith(text)
    assert stages[0] == "importing"


async def test_programs_share_one_warm_runner(shared_home: Path, services: Services) -> None:
    # The app's connection keeps the runner, and another program asks at the same time.
    app = build_services(demo_config(shared_home, **{"ask.keep_warm_s": 60.0}), Paths(shared_home))
    text, _done, stages = await answer(app, QUESTION)
    assert stages[-1] == "ready"
    pid = runner_pid(app)
    own, lines = await asyncio.gather(
        answer(app, "How do I stop sharing?"),
        asyncio.to_thread(ask_command, shared_home, QUESTION),
    )
    assert own[0]
    assert own[2] == []
    assert not any(line["type"] == "stage" for line in lines)
    assert (lines[-1]["type"], lines[-1]["answer"]) == ("done", text)
    assert runner_pid(app) == pid
    still_used = await SharedRunners(app.paths).end_unused()
    assert [record.pid for record in still_used] == [pid]

    # It outlives the app, and the next question goes on in the same session of the servers.
    await app.close()
    lines = await asyncio.to_thread(ask_command, shared_home, "-c", "What is a block?")
    assert [line["type"] for line in lines[:3]] == ["route", "started", "token"]
    assert lines[1]["reused_tokens"] > 0
    assert lines[1]["route"]["hops"][0]["end"] == 8
    assert runner_pid(services) == pid
    (record,) = services.chat_runners()
    assert await SharedRunners(services.paths).end_unused() == []
    assert await wait_gone(record.pid, record.start_mark, 0)


async def test_another_place_to_ask_has_a_runner_of_its_own(services: Services) -> None:
    swarm, _done, _ = await answer(services, QUESTION)
    (first,) = services.chat_runners()
    services.inference.choose("torbiz-demo", local=True)
    local, done, stages = await answer(services, QUESTION)
    assert local == swarm
    assert "loading" in stages
    assert done.route is not None
    assert done.route.local
    # Nobody is connected to the first any more, and it is not to be kept warm.
    assert await wait_gone(first.pid, first.start_mark, 30)
    (second,) = services.chat_runners()
    await services.inference.close()
    assert await wait_gone(second.pid, second.start_mark, 30)


async def test_nobody_serves_the_model(demo_home: Path) -> None:
    services = build_services(demo_config(demo_home), Paths(demo_home))
    with pytest.raises(NotServedError, match="Nobody serves torbiz-demo") as caught:
        await answer(services, QUESTION)
    assert "torbiz-tui share torbiz-demo" in caught.value.remedy
    await services.close()


async def test_some_blocks_are_missing(demo_home: Path) -> None:
    config = demo_config(demo_home, **{"share.blocks": "0:5"})
    services = build_services(config, Paths(demo_home))
    await services.sharing.start(services.sharing.default_request())
    await services.sharing.wait_serving(180)
    with services.inference.subscribe() as changes:
        with pytest.raises(NotServedError, match="blocks 5–7 of torbiz-demo") as caught:
            await answer(services, QUESTION)
        assert caught.value.missing == ((5, 8),)
        assert "--blocks 5:8" in caught.value.remedy
        async with asyncio.timeout(120):
            async for change in changes:
                if isinstance(change, RouteChanged):
                    assert change.route.missing == ((5, 8),)
                    assert change.route == services.inference.route
                    break
    assert services.inference.stage == "routing"
    await services.inference.close()
    await services.sharing.stop()
    await services.close()
