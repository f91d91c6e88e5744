"""Streams of a real engine: whole, in order, closed at once, and never silently cut off."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.engine.conftest import copy_image
from tests.engine.private_engine import PrivateEngine
from tests.pace import Stopwatch
from torbiz_tui.config import Config
from torbiz_tui.environments.docker import engine as engine_module
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.errors import TorbizError

pytestmark = pytest.mark.engine

COUNT = 100_000
SHORT_S = 3.0


def follow(container: Container) -> Callable[[docker.DockerClient], Iterator[bytes]]:
    return lambda client: client.api.logs(str(container.id), stream=True, follow=True)


@pytest.fixture
def run(
    client: docker.DockerClient, base_image: str, engine_name: Callable[[str], str]
) -> Iterator[Callable[..., Container]]:
    """Starts a container with a shell line."""
    started = []

    def start(line: str, on: docker.DockerClient = client, image: str = base_image) -> Container:
        container = on.containers.run(
            image,
            ["sh", "-c", line],
            name=engine_name("stream"),
            detach=True,
            network_mode="none",
            init=True,
        )
        started.append(container)
        return container

    yield start
    for container in started:
        with contextlib.suppress(Exception):
            container.remove(force=True)


def reading_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "docker: reading the test"]


async def until(met: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(0.1)


async def until_no_thread_reads() -> float:
    """Seconds until the stream's thread has ended."""
    watch = Stopwatch()
    while reading_threads():
        assert watch.seconds < SHORT_S, "the stream's thread still waits"
        await asyncio.sleep(0.01)
    return watch.seconds


async def test_all_lines_come_in_order_also_for_a_slow_reader(
    engine: Engine, run: Callable[..., Container]
) -> None:
    # Docker 20.10 itself can leave out the last lines of a container that ends while it follows.
    container = run(f"seq 1 {COUNT}; sleep 60")
    text = bytearray()
    chunks = 0
    async with contextlib.aclosing(
        engine.stream(follow(container), doing="reading the test")
    ) as stream:
        async for chunk in stream:
            text += chunk
            chunks += 1
            if chunks % 500 == 0:
                await asyncio.sleep(0.02)
            if text.endswith(f"\n{COUNT}\n".encode()):
                break
    assert text.decode().split() == [str(number) for number in range(1, COUNT + 1)]


async def test_a_reader_that_stops_reading_holds_the_engine_back(
    engine: Engine, run: Callable[..., Container]
) -> None:
    container = run(f"seq 1 {COUNT}; sleep 60")
    taken = 0

    def counted(client: docker.DockerClient) -> Iterator[bytes]:
        nonlocal taken
        for chunk in client.api.logs(str(container.id), stream=True, follow=True):
            taken += 1
            yield chunk

    async with contextlib.aclosing(engine.stream(counted, doing="reading the test")) as stream:
        await anext(stream)
        before = -1
        while taken != before:
            before = taken
            await asyncio.sleep(0.3)
        assert taken < 1000


@pytest.mark.parametrize(
    "open_stream",
    [
        lambda client, ref: client.api.logs(ref, stream=True, follow=True),
        lambda client, ref: client.api.attach(ref, stream=True, logs=True),
        lambda client, ref: client.api.stats(ref, decode=True, stream=True),
        lambda client, ref: client.api.events(decode=True, since=1, filters={"container": ref}),
    ],
    ids=["logs", "attach", "stats", "events"],
)
async def test_a_cancelled_stream_is_closed_while_it_waits(
    engine: Engine, run: Callable[..., Container], open_stream: Callable[..., Iterator[Any]]
) -> None:
    # An attached reader may miss what was printed at the very moment of attaching.
    container = run("for i in 1 2 3; do echo ready; sleep 1; done; sleep 60")
    begun = asyncio.Event()

    async def read() -> None:
        stream = engine.stream(
            lambda client: open_stream(client, container.id), doing="reading the test"
        )
        async for _ in stream:
            begun.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(begun.wait(), 60)
    assert reading_threads()
    since_cancelled = Stopwatch()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert since_cancelled.seconds < 0.5
    assert await until_no_thread_reads() < 1


async def test_a_closed_stream_ends_the_build_of_the_engine(
    engine: Engine, base_image: str, engine_name: Callable[[str], str], client: docker.DockerClient
) -> None:
    tag = engine_name("build")
    mark = engine_name("mark")

    def build(on: docker.DockerClient) -> Iterator[dict[str, Any]]:
        from io import BytesIO

        file = f"FROM {base_image}\nRUN echo {mark} && sleep 120\n"
        return iter(
            on.api.build(
                fileobj=BytesIO(file.encode()), tag=tag, decode=True, rm=True, forcerm=True
            )
        )

    def running() -> list[Container]:
        return [one for one in client.containers.list() if mark in str(one.attrs["Config"]["Cmd"])]

    async with contextlib.aclosing(engine.stream(build, doing="reading the test")) as stream:
        async for item in stream:
            if str(item.get("stream", "")).strip() == mark:
                break
        await until(running, "no container of the build runs")
    await until_no_thread_reads()
    await until(lambda: not running(), "the build runs on")


async def test_a_missing_container_is_told_as_such(engine: Engine) -> None:
    with pytest.raises(docker.errors.NotFound):
        async for _ in engine.stream(
            lambda client: client.api.logs("torbiz-test-nobody", stream=True), doing="reading"
        ):
            pass


async def find_at(daemon: PrivateEngine) -> Engine:
    return await EngineFinder(replace(Config().docker, host=daemon.host)).find()


async def test_an_engine_that_is_killed_is_not_the_end_of_a_stream(
    private_engine: PrivateEngine,
    run: Callable[..., Container],
    client: docker.DockerClient,
    shell_image: str,
) -> None:
    own = docker.DockerClient(base_url=private_engine.host)
    copy_image(shell_image, client, own)
    # An attached reader may miss what was printed at the very moment of attaching.
    container = run("while sleep 0.1; do echo ready; done", own, shell_image)
    opens: dict[str, Callable[[docker.DockerClient], Iterator[Any]]] = {
        "logs": lambda client: client.api.logs(str(container.id), stream=True, follow=True),
        "attach": lambda client: client.api.attach(str(container.id), stream=True, logs=True),
        "stats": lambda client: client.api.stats(str(container.id), decode=True, stream=True),
        "events": lambda client: client.api.events(decode=True, since=1),
    }
    begun = {kind: asyncio.Event() for kind in opens}

    async def end_of(kind: str) -> tuple[str, bool]:
        engine = await find_at(private_engine)
        with pytest.raises(TorbizError) as caught:
            async for _ in engine.stream(opens[kind], doing="reading the test"):
                begun[kind].set()
        return caught.value.code, engine.gone

    ends = {kind: asyncio.create_task(end_of(kind)) for kind in opens}
    async with asyncio.timeout(60):
        for event in begun.values():
            await event.wait()
        await asyncio.to_thread(private_engine.kill)
        assert {kind: await end for kind, end in ends.items()} == dict.fromkeys(
            opens, ("docker_gone", True)
        )


async def test_silence_is_no_end_but_a_frozen_engine_is_noticed(
    private_engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SILENCE_S", 0.3)
    monkeypatch.setattr(engine_module, "_PING_TIMEOUT_S", 1.0)
    engine = await find_at(private_engine)
    pings = 0
    ping = docker.DockerClient.ping

    def counted(client: docker.DockerClient) -> object:
        nonlocal pings
        answered = ping(client)
        pings += 1
        return answered

    monkeypatch.setattr(docker.DockerClient, "ping", counted)

    async def read() -> None:
        async for _ in engine.stream(
            lambda client: client.api.events(decode=True), doing="reading the test"
        ):
            pass

    reading = asyncio.create_task(read())
    # Twice it was silent, was asked whether it is there, and was.
    await until(lambda: pings > 1 or reading.done(), "it is not asked whether it is there")
    assert not reading.done()
    private_engine.pause()
    with pytest.raises(TorbizError) as caught:
        await asyncio.wait_for(reading, 60)
    assert caught.value.code == "docker_timeout"
    await until(lambda: not reading_threads(), "the stream's thread still waits")


async def test_the_loop_stays_free_while_a_long_log_is_read(
    engine: Engine, run: Callable[..., Container]
) -> None:
    container = run(f"seq 1 {COUNT}")
    container.wait()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.create_task(turn())
    # So often it turns on this machine when nothing is read.
    started = time.monotonic()
    await asyncio.sleep(0.5)
    free, turns = turns / (time.monotonic() - started), 0
    started = time.monotonic()
    async for _ in engine.stream(follow(container), doing="reading the test"):
        pass
    took = time.monotonic() - started
    turning.cancel()
    assert turns > took * free / 5
