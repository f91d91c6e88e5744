"""The endpoint on the demo's swarm: the same answers as `ask`, as streams, for several at once."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import psutil
import pytest

from tests.conftest import free_port
from torbiz_tui.logs.writing import start_logging
from torbiz_tui.paths import Paths

pytestmark = pytest.mark.swarm

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
QUESTIONS = ("What is a swarm?", "What is Petals?")
SLOW_S = 180.0


class DemoSwarm:
    """A home in which the demo is shared, and the endpoint on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("TORBIZ_")}
        # No chat runner outlives the tests.
        self.environ["TORBIZ_ASK_KEEP_WARM_S"] = "0"
        self.url = ""

    def command(self, *arguments: str) -> list[str]:
        return [PROGRAM, "--demo", "--home", str(self.home), *arguments]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=SLOW_S,
            stdin=subprocess.DEVNULL,
            env=self.environ,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, question: str) -> str:
        return self.run("ask", question).rstrip("\n")

    @contextmanager
    def api(self, *arguments: str) -> Iterator[str]:
        """The endpoint as a process; its address."""
        with subprocess.Popen(
            self.command("api", "--port", "0", *arguments),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        ) as process:
            try:
                assert process.stderr is not None
                match = re.search(r"Serving torbiz-demo at (\S+)", process.stderr.readline())
                assert match is not None
                yield match[1]
            finally:
                process.terminate()
                said = process.communicate(timeout=20)[1]
        assert process.returncode == 143
        assert "Traceback" not in said

    def client(self, url: str = "") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=url or self.url, api_key="none", max_retries=0, timeout=SLOW_S
        )


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory, stack_home: Path) -> Iterator[DemoSwarm]:
    home = tmp_path_factory.mktemp("api-home")
    paths = Paths(home)
    paths.ensure()
    paths.env.symlink_to(Paths(stack_home).env, target_is_directory=True)
    start_logging(paths)
    demo = DemoSwarm(home)
    try:
        demo.run("share", "--wait", "--port", str(free_port()))
        with demo.api() as url:
            demo.url = url
            yield demo
    finally:
        demo.run("stop")
    assert not processes_of(home)


def processes_of(folder: Path) -> list[str]:
    """The command lines that name this folder, as every process of a home does."""
    lines = (" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(folder) in line]


def of_user(question: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]


async def streamed(client: openai.AsyncOpenAI, question: str) -> str:
    stream = await client.chat.completions.create(
        model="torbiz-demo", messages=of_user(question), stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def test_a_greedy_answer_is_that_of_ask(swarm: DemoSwarm) -> None:
    async with swarm.client() as client:
        answer = await client.chat.completions.create(
            model="torbiz-demo", messages=of_user(QUESTIONS[0])
        )
        text = answer.choices[0].message.content or ""
        assert text.rstrip("\n") == await asyncio.to_thread(swarm.ask, QUESTIONS[0])
        assert await streamed(client, QUESTIONS[0]) == text
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 3
        following = await client.chat.completions.create(
            model="torbiz-demo",
            messages=[
                *of_user(QUESTIONS[0]),
                {"role": "assistant", "content": text},
                *of_user(QUESTIONS[1]),
            ],
        )
        assert following.usage is not None
        assert following.usage.prompt_tokens_details is not None
        # What the first turn left with the servers is not sent again.
        reused = following.usage.prompt_tokens_details.cached_tokens or 0
        assert reused >= answer.usage.prompt_tokens


async def test_two_clients_at_once(swarm: DemoSwarm) -> None:
    async with swarm.client() as one, swarm.client() as other:
        alone = [await streamed(one, question) for question in QUESTIONS]
        together = await asyncio.gather(
            *(streamed(client, q) for client, q in zip((one, other), QUESTIONS, strict=True))
        )
    assert together == alone
    assert alone[0] != alone[1]


async def test_limits_stops_and_continued_text(swarm: DemoSwarm) -> None:
    async with swarm.client() as client:
        short = await client.chat.completions.create(
            model="default", messages=of_user(QUESTIONS[1]), max_tokens=3
        )
        assert short.choices[0].finish_reason == "length"
        assert short.usage is not None
        assert short.usage.completion_tokens == 3
        whole = await streamed(client, QUESTIONS[1])
        word = whole.split()[3]
        stopped = await client.chat.completions.create(
            model="default", messages=of_user(QUESTIONS[1]), stop=[word]
        )
        assert stopped.choices[0].message.content == whole.partition(word)[0]
        assert stopped.choices[0].finish_reason == "stop"
        text = await client.completions.create(model="default", prompt="Petals is", max_tokens=5)
        assert text.choices[0].text
        assert text.usage is not None
        assert text.usage.completion_tokens <= 5


async def test_who_leaves_makes_room(swarm: DemoSwarm) -> None:
    async with swarm.client() as client:
        expected = await streamed(client, QUESTIONS[0])
        stream = await client.chat.completions.create(
            model="default", messages=of_user(QUESTIONS[0]), stream=True
        )
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        async with asyncio.timeout(SLOW_S):
            assert await streamed(client, QUESTIONS[0]) == expected


async def test_a_model_in_this_machine_answers_the_same(swarm: DemoSwarm) -> None:
    with swarm.api("--local") as url:
        async with swarm.client() as of_swarm, swarm.client(url) as local:
            assert await streamed(local, QUESTIONS[0]) == await streamed(of_swarm, QUESTIONS[0])
