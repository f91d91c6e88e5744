"""Podman's imitation of the Docker API: what works through it, and what differs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.engine.conftest import copy_image
from tests.engine.podman_service import PodmanService
from tests.pace import Stopwatch
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.log_stream import container_lines
from torbiz_tui.errors import TorbizError

pytestmark = pytest.mark.engine

COUNT = 20_000


@pytest.fixture
def run(
    podman_engine: Engine, base_image: str, engine_name: Callable[[str], str]
) -> Iterator[Callable[..., Container]]:
    """Starts a container with a shell line."""
    client = docker.DockerClient(base_url=podman_engine.endpoint.address, timeout=60)
    started = []

    def start(line: str, **options: Any) -> Container:
        container = client.containers.run(
            base_image,
            ["sh", "-c", line],
            name=engine_name("podman"),
            detach=True,
            network_mode="none",
            **options,
        )
        started.append(container)
        return container

    yield start
    for container in started:
        with contextlib.suppress(docker.errors.APIError):
            container.remove(force=True)
    client.close()


def logs(container: Container) -> Callable[[docker.DockerClient], Iterator[bytes]]:
    return lambda client: client.api.logs(str(container.id), stream=True, follow=True)


async def test_it_is_found_and_known_as_podman(
    podman_engine: Engine, podman_service: PodmanService
) -> None:
    facts = podman_engine.facts
    assert (facts.name, facts.podman, facts.host_network) == ("Podman", True, True)
    assert facts.platform == f"linux/{'amd64' if platform.machine() == 'x86_64' else 'arm64'}"
    assert facts.memory_bytes > 2**28
    assert podman_engine.endpoint.address == podman_service.host


async def test_all_lines_come_in_order(
    podman_engine: Engine, podman_service: PodmanService, run: Callable[..., Container]
) -> None:
    """Although Podman's own stream leaves out lines once the container has ended."""
    container = run(f"seq 1 {COUNT}")
    finder = EngineFinder(replace(Config().docker, host=podman_service.host))
    got: list[str] = []
    with _busy_processors():
        async for batch in container_lines(finder, str(container.id)):
            got += batch
    finder.close()
    assert got == [str(number) for number in range(1, COUNT + 1)]


async def test_last_words_that_were_followed_come_all(
    podman_service: PodmanService, run: Callable[..., Container]
) -> None:
    """The first lines come while it runs, and the others after its end, in one order."""
    wait = "until [ -e /go ]; do sleep 0.1; done"
    container = run(f"echo first; {wait}; seq 1 {COUNT}; printf 'no end'")
    finder = EngineFinder(replace(Config().docker, host=podman_service.host))
    got: list[str] = []
    async for batch in container_lines(finder, str(container.id)):
        if batch and not got:
            assert batch == ["first"]
            await asyncio.to_thread(container.exec_run, ["touch", "/go"])
        got += batch
    finder.close()
    assert got == ["first", *(str(number) for number in range(1, COUNT + 1)), "no end"]


@contextlib.contextmanager
def _busy_processors() -> Iterator[None]:
    """Every processor has something else to do, too."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["logs", "stats", "events"])
async def test_a_cancelled_stream_is_closed_while_it_waits(
    kind: str, podman_engine: Engine, run: Callable[..., Container]
) -> None:
    container = run("echo ready; sleep 60")
    opens: dict[str, Callable[[docker.DockerClient], Iterator[Any]]] = {
        "logs": logs(container),
        "stats": lambda client: client.api.stats(str(container.id), decode=True, stream=True),
        "events": lambda client: client.api.events(decode=True, since=1),
    }
    first = asyncio.Event()

    async def read() -> None:
        async for _ in podman_engine.stream(opens[kind], doing="reading"):
            first.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(first.wait(), 60)
    since_cancelled = Stopwatch()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert since_cancelled.seconds < 0.5


async def test_a_taken_name_is_told_as_docker_tells_it(
    podman_engine: Engine, run: Callable[..., Container], base_image: str
) -> None:
    name = run("sleep 60").name
    with pytest.raises(docker.errors.APIError) as caught:
        await podman_engine.call(
            lambda client: client.containers.create(base_image, ["true"], name=name),
            doing="creating the container",
        )
    assert caught.value.status_code == 409


async def test_a_stop_reaches_the_container_and_its_last_words_are_kept(
    podman_engine: Engine, run: Callable[..., Container]
) -> None:
    container = run("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done")
    async with contextlib.aclosing(podman_engine.stream(logs(container), doing="reading")) as lines:
        assert await anext(lines) == b"up\n"
    await podman_engine.call(lambda client: container.stop(timeout=10), doing="stopping")
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    assert container.logs() == b"up\nbye\n"


async def test_a_build_streams_its_steps_and_its_failure(
    podman_engine: Engine, base_image: str, engine_name: Callable[[str], str]
) -> None:
    text = f"FROM {base_image}\nRUN echo fine\nRUN echo bad >&2; exit 3\n"

    def build(client: docker.DockerClient) -> Iterator[dict[str, Any]]:
        return iter(
            client.api.build(
                fileobj=BytesIO(text.encode()), tag=engine_name("build"), decode=True, forcerm=True
            )
        )

    said = [item async for item in podman_engine.stream(build, doing="building")]
    printed = "".join(str(item.get("stream", "")) for item in said)
    # Docker's builder writes `Step 2/3 : RUN …`.
    assert "STEP 2/3: RUN echo fine" in printed
    assert "fine" in printed.splitlines()
    assert "exit status 3" in said[-1]["error"]


async def test_a_service_that_is_killed_is_not_the_end_of_a_stream(
    client: docker.DockerClient, shell_image: str, podman_engine: Engine
) -> None:
    assert shutil.which("podman")
    service = PodmanService(Path(tempfile.mkdtemp(prefix="torbiz-podman-")))
    service.start()
    try:
        engine = await EngineFinder(replace(Config().docker, host=service.host)).find()
        own = docker.DockerClient(base_url=service.host)
        copy_image(shell_image, client, own)
        container = own.containers.run(
            shell_image, ["sh", "-c", "echo up; sleep 300"], detach=True, network_mode="none"
        )
        with pytest.raises(TorbizError) as caught:
            async for _ in engine.stream(logs(container), doing="reading"):
                service.kill()
        assert caught.value.code == "docker_gone"
    finally:
        service.remove()


async def test_what_differs_from_docker(
    podman_engine: Engine, run: Callable[..., Container]
) -> None:
    """A device that nobody has is not refused but left out: the app has to ask itself."""
    wanted = docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])
    container = run("sleep 60", device_requests=[wanted])
    container.reload()
    assert container.status == "running"
    assert not podman_engine.facts.nvidia
