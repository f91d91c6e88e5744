"""What a container uses, as the engine measures it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.pace import Stopwatch
from torbiz_tui.environments.base import ResourceSample
from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.environments.docker.stats import container_stats

pytestmark = pytest.mark.engine

MIB = 2**20
BUSY = "while :; do :; done"


@pytest.fixture
def run(
    client: docker.DockerClient, base_image: str, engine_name: Callable[[str], str]
) -> Iterator[Callable[..., Container]]:
    """Starts a container with a shell line."""
    started = []

    def start(line: str, on: docker.DockerClient = client, **options: Any) -> Container:
        container = on.containers.run(
            base_image,
            ["sh", "-c", line],
            name=engine_name("stats"),
            detach=True,
            **{"network_mode": "none", **options},
        )
        started.append(container)
        return container

    yield start
    for container in started:
        with contextlib.suppress(Exception):
            container.remove(force=True)


async def first(engine: Engine, container: Container, count: int) -> list[ResourceSample]:
    got: list[ResourceSample] = []
    samples = container_stats(engine, str(container.id))
    async with asyncio.timeout(90), contextlib.aclosing(samples) as items:
        async for sample in items:
            got.append(sample)
            if len(got) == count:
                break
    return got


def used(container: Container) -> tuple[float, float]:
    """Seconds of processors that it has used, as the engine counts them, and when that was."""
    told: Any = container.stats(stream=False)
    seconds = told["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return seconds, datetime.fromisoformat(told["read"]).timestamp()


async def test_a_busy_processor_is_seen_from_the_first_sample_on(
    engine: Engine, run: Callable[..., Container]
) -> None:
    container = run(BUSY)
    before = used(container)
    watch = Stopwatch()
    samples = await first(engine, container, 3)
    assert watch.seconds < 10
    after = used(container)
    # What it got of a machine that others use too: one core at most.
    got = 100 * (after[0] - before[0]) / (after[1] - before[1])
    assert all(0 < sample.cpu_percent < 130 for sample in samples), samples
    assert got / 3 < sum(sample.cpu_percent for sample in samples) / 3 < got * 3, (got, samples)
    assert all(sample.processes == 1 and not sample.paused for sample in samples)


async def test_an_idle_container_uses_next_to_nothing(
    engine: Engine, run: Callable[..., Container]
) -> None:
    samples = await first(engine, run("sleep 60"), 3)
    assert all(sample.cpu_percent < 5 for sample in samples[1:])


async def test_memory_is_counted_without_the_files_that_were_read(
    engine: Engine, run: Callable[..., Container]
) -> None:
    program = (
        "import time\\nheld = bytearray(100 * 2**20)\\n"
        "open('/tmp/f', 'wb').write(bytes(200 * 2**20))\\n"
        "open('/tmp/f', 'rb').read(1)\\nprint('ready', flush=True)\\ntime.sleep(60)"
    )
    container = run(f'printf "{program}" > /tmp/p; exec python3 /tmp/p')
    while b"ready" not in container.logs():
        await asyncio.sleep(0.1)
    samples = await first(engine, container, 2)
    assert 100 * MIB < samples[-1].memory_bytes < 200 * MIB


async def test_the_network_counts_only_where_it_is_the_containers_own(
    engine: Engine, run: Callable[..., Container]
) -> None:
    sending = 'python3 -c "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n'
    sending += (
        "for _ in range(100): s.sendto(bytes(1000), ('198.51.100.1', 9))\"; echo sent; sleep 60"
    )
    container = run(sending, network_mode="bridge")
    while b"sent" not in container.logs():
        await asyncio.sleep(0.1)
    sample = (await first(engine, container, 2))[-1]
    assert sample.network_tx_bytes is not None
    assert sample.network_tx_bytes > 90_000
    assert sample.network_rx_bytes is not None
    host = (await first(engine, run("sleep 60", network_mode="host"), 1))[0]
    assert host.network_rx_bytes is None
    assert host.network_tx_bytes is None


async def test_a_paused_container_is_told_and_it_goes_on(
    engine: Engine, run: Callable[..., Container]
) -> None:
    container = run(BUSY)
    seen: list[bool] = []
    samples = container_stats(engine, str(container.id))
    async with asyncio.timeout(90), contextlib.aclosing(samples) as items:
        async for sample in items:
            if not seen or seen[-1] != sample.paused:
                seen.append(sample.paused)
                if seen == [False]:
                    container.pause()
                elif seen == [False, True]:
                    assert sample.cpu_percent == 0
                    container.unpause()
                else:
                    assert sample.cpu_percent > 0
                    break
    assert seen == [False, True, False]


@pytest.mark.parametrize("how", ["ends", "killed", "removed", "ended before"])
async def test_the_samples_end_with_the_container(
    how: str, engine: Engine, run: Callable[..., Container]
) -> None:
    container = run("until test -e /go; do sleep 0.1; done")
    if how == "ended before":
        container.kill()
    got = 0
    async with asyncio.timeout(90):
        with contextlib.suppress(docker.errors.NotFound):
            async for _ in container_stats(engine, str(container.id)):
                got += 1
                if how == "ends" and got == 1:
                    container.exec_run(["touch", "/go"])
                elif how == "killed":
                    container.kill()
                elif how == "removed":
                    container.remove(force=True)
    assert (got == 0) == (how == "ended before")


async def test_podman_tells_the_same(podman_engine: Engine, run: Callable[..., Container]) -> None:
    own = docker.DockerClient(base_url=podman_engine.endpoint.address, timeout=60)
    container = run(BUSY, own)
    await asyncio.sleep(1)
    sample = (await first(podman_engine, container, 1))[0]
    assert 10 < sample.cpu_percent < 130
    assert 0 < sample.memory_bytes < 100 * MIB
    assert sample.processes >= 1
    container.remove(force=True)
    own.close()
