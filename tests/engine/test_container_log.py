"""A container's log followed and kept: no line lost or doubled, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from docker.types import LogConfig
from filelock import FileLock

from tests.engine.conftest import copy_image
from tests.engine.podman_service import PodmanService
from tests.engine.private_engine import PrivateEngine
from tests.engine.serving import docker_services
from tests.engine.spooling import copied, engines_log, spooling, state, text_lines
from tests.pace import Stopwatch
from torbiz_tui.config import Config
from torbiz_tui.environments.docker import container_log as keeping
from torbiz_tui.environments.docker.container_log import Spool, copy_rest, spooled_lines
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.image import LABEL_ROLE
from torbiz_tui.environments.docker.log_lines import Position, StampedLine
from torbiz_tui.environments.docker.log_stream import container_lines, container_log
from torbiz_tui.environments.docker.records import ROLE_SEEDER
from torbiz_tui.logs.following import follow
from torbiz_tui.logs.writing import start_logging, write_failures
from torbiz_tui.paths import Paths

pytestmark = pytest.mark.engine

MANY = 200_000
MANY_S = 20.0
TICKING = "i=0; while [ $i -lt {0} ]; do echo tick $i; i=$((i+1)); sleep {1}; done; echo over"


@pytest.fixture
def run(
    client: docker.DockerClient, base_image: str, engine_name: Callable[[str], str]
) -> Iterator[Callable[..., Container]]:
    """Starts a container with a shell line."""
    started = []

    def start(
        line: str, on: docker.DockerClient = client, image: str = base_image, **options: Any
    ) -> Container:
        container = on.containers.run(
            image,
            ["sh", "-c", line],
            name=engine_name("log"),
            detach=True,
            network_mode="none",
            **options,
        )
        started.append(container)
        return container

    yield start
    for container in started:
        with contextlib.suppress(Exception):
            container.remove(force=True)


@pytest.fixture
def finder(engine: Engine) -> Iterator[EngineFinder]:
    found = finder_at(engine.endpoint.address)
    yield found
    found.close()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "home")
    made.ensure()
    return made


def finder_at(host: str) -> EngineFinder:
    return EngineFinder(replace(Config().docker, host=host))


def as_text(lines: list[StampedLine]) -> list[str]:
    return [f"{line.stamp} {line.text}" for line in lines]


async def all_of(log: AsyncIterator[list[StampedLine]]) -> list[StampedLine]:
    return [line async for batch in log for line in batch]


async def until(met: Callable[[], object], otherwise: str, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(0.05)


def spool(paths: Paths, finder: EngineFinder, container: Container, **options: int) -> Spool:
    return Spool(finder, paths, str(container.id), str(container.name), **options)


async def test_many_lines_come_once_and_in_order_while_they_are_written(
    finder: EngineFinder, run: Callable[..., Container]
) -> None:
    container = run(f"echo first; sleep 1; seq 1 {MANY}")
    got: list[str] = []
    batches = 0
    watch = Stopwatch()
    async for batch in container_lines(finder, str(container.id)):
        got += batch
        batches += 1
        if got == ["first"]:
            watch = Stopwatch()
    took = watch.seconds
    assert got == ["first", *map(str, range(1, MANY + 1))]
    assert batches < MANY / 100
    assert took < MANY_S


async def test_what_was_logged_before_is_told_from_what_comes(
    finder: EngineFinder, run: Callable[..., Container]
) -> None:
    container = run("seq 1 500; until test -e /go; do sleep 0.1; done; echo later; sleep 0.5")
    await until(lambda: len(engines_log(container)) == 500, "nothing is logged")
    batches = []
    async for batch in container_lines(finder, str(container.id)):
        batches.append(batch)
        if not batch:
            await asyncio.to_thread(container.exec_run, ["touch", "/go"])
    assert batches.count([]) == 1
    before = batches.index([])
    assert [line for batch in batches[:before] for line in batch] == [
        str(number) for number in range(1, 501)
    ]
    assert [line for batch in batches[before:] for line in batch] == ["later"]


async def test_an_empty_log_is_caught_up_with_and_an_ended_one_ends(
    finder: EngineFinder, run: Callable[..., Container]
) -> None:
    container = run("sleep 1")
    assert [batch async for batch in container_lines(finder, str(container.id))] == [[]]
    container = run("echo all; printf 'no end'")
    container.wait()
    batches = [batch async for batch in container_lines(finder, str(container.id))]
    assert [line for batch in batches for line in batch] == ["all", "no end"]
    assert batches[-1] == []
    container.remove()
    assert [batch async for batch in container_lines(finder, str(container.id))] == [[]]


async def test_reading_goes_on_after_any_line(
    finder: EngineFinder, run: Callable[..., Container]
) -> None:
    container = run("seq 1 2000; seq 1 1000 >&2; sleep 1.2; seq 1 1000")
    container.wait()
    lines = await all_of(container_log(finder, str(container.id)))
    assert as_text(lines) == engines_log(container)
    for read in [1, 2, 1999, 2000, 2001, 3000, 3999, 4000, *random.sample(range(4000), 8)]:
        position = Position(lines[read - 1].stamp, 1)
        rest = await all_of(container_log(finder, str(container.id), position, follow=False))
        assert rest == lines[read:]


@pytest.mark.parametrize("tty", [False, True], ids=["plain", "terminal"])
async def test_lines_that_no_terminal_would_like(
    tty: bool, finder: EngineFinder, run: Callable[..., Container], paths: Paths
) -> None:
    program = (
        "import os, time\n"
        "os.write(1, b'a' * 1_000_000 + b'\\n')\n"
        "os.write(1, b'\\x1b[2J\\x1b]0;owned\\x07\\x00 \\xff\\xfe \\xe2\\x80\\xa8 \\x85\\n')\n"
        "os.write(1, b'10%\\r20%\\r\\n')\n"
        "os.write(1, b'b' * 30_000); time.sleep(0.1); os.write(2, b'between\\n')\n"
        "os.write(1, b'B' * 30_000 + b'\\nlast')\n"
    )
    container = run(f'python3 -c "{program}"', tty=tty)
    await spool(paths, finder, container).run()
    got = copied(paths.home)
    texts = [line.partition(" ")[2] for line in got]
    assert texts[0] == "a" * 1_000_000
    assert texts[1] == "\x1b[2J\x1b]0;owned\x07\x00 \ufffd\ufffd \u2028 \ufffd"
    assert texts[2].rstrip("\r") == "10%\r20%"
    assert texts[-1] == "last"
    assert sum(text.count("b") + text.count("B") for text in texts) >= 60_000
    if not tty:
        assert sorted(texts[3:5], key=len) == ["between", "b" * 30_000 + "B" * 30_000]
    assert not any(line.partition(" ")[0] in line.partition(" ")[2] for line in got)


async def test_a_removed_container_ends_it(
    finder: EngineFinder, run: Callable[..., Container]
) -> None:
    container = run(TICKING.format(1000, 0.05))
    got: list[str] = []
    async with asyncio.timeout(90):
        async for batch in container_lines(finder, str(container.id)):
            got += batch
            if "tick 10" in batch:
                container.remove(force=True)
    assert got == [f"tick {number}" for number in range(len(got))]


async def test_killed_again_and_again_the_file_is_the_engines_own_log(
    engine: Engine, run: Callable[..., Container], paths: Paths
) -> None:
    lines = 20_000
    container = run(
        f"for i in $(seq 1 100); do seq $i.001 0.001 $i.{lines // 100}; sleep 0.05; done"
    )
    file = paths.logs / "container.log"
    kills = 0
    while True:
        before = file.stat().st_size if file.exists() else 0
        process = spooling(paths.home, engine.endpoint.address, container)
        more = random.randrange(1, 200_000 if kills > 2 else 20_000)
        while process.poll() is None and (not file.exists() or file.stat().st_size < before + more):
            await asyncio.sleep(random.uniform(0, 0.01))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills > 2
    assert not state(container)["Running"]
    log = engines_log(container)
    assert len(log) == lines
    assert copied(paths.home) == log


async def test_two_at_once_write_every_line_once_and_one_takes_over(
    engine: Engine, finder: EngineFinder, run: Callable[..., Container], paths: Paths
) -> None:
    container = run(TICKING.format(60, 0.1))
    first = spooling(paths.home, engine.endpoint.address, container)
    await until(lambda: copied(paths.home), "nothing is copied")
    second = asyncio.create_task(spool(paths, finder, container).run())
    third = spooling(paths.home, engine.endpoint.address, container)
    await until(lambda: len(copied(paths.home)) > 20, "it does not go on")
    first.kill()
    first.wait()
    await asyncio.wait_for(second, 60)
    assert third.wait(60) == 0
    assert copied(paths.home) == engines_log(container)


async def test_a_cancelled_one_leaves_whole_lines_to_go_on_from(
    finder: EngineFinder, run: Callable[..., Container], paths: Paths
) -> None:
    container = run("for i in $(seq 1 40); do seq $i.001 0.001 $i.500; sleep 0.05; done")
    for _ in range(5):
        copying = asyncio.create_task(spool(paths, finder, container).run())
        await asyncio.sleep(random.uniform(0.05, 0.4))
        copying.cancel()
        await asyncio.wait([copying])
    await spool(paths, finder, container).run()
    assert copied(paths.home) == engines_log(container)


async def test_rotation_while_it_is_written_and_read(
    finder: EngineFinder, run: Callable[..., Container], paths: Paths
) -> None:
    container = run("for i in $(seq 1 60); do seq $i.001 0.001 $i.200; sleep 0.05; done")
    read: list[str] = []

    async def reading() -> None:
        async for batch in follow(paths.logs / "container.log", poll_s=0.02):
            read.extend(line for line in batch if not line.startswith("==== "))

    reader = asyncio.create_task(reading())
    # All that is written fits into the files that are kept: a reader that gets no turn loses none.
    await spool(paths, finder, container, max_bytes=200_000).run()
    log = engines_log(container)
    assert len(log) == 12_000
    kept = copied(paths.home)
    assert kept == log[-len(kept) :]
    assert len(kept) > 2000
    await until(lambda: len(read) >= len(log), f"only {len(read)} lines were read")
    reader.cancel()
    assert read == log
    assert all(file.stat().st_size < 300_000 for file in paths.logs.iterdir())


async def test_the_engines_own_rotation_repeats_nothing(
    finder: EngineFinder, run: Callable[..., Container]
) -> None:
    # Docker 20.10 sends lines again whenever it rotates, which happens here every few moments.
    container = run(
        "for i in $(seq 1 60); do seq $i.001 0.001 $i.100; sleep 0.05; done",
        log_config=LogConfig(type="json-file", config={"max-size": "50k", "max-file": "3"}),
    )
    got = await all_of(container_log(finder, str(container.id)))
    texts = [line.text for line in got]
    assert texts == [f"{i}.{part:03}" for i in range(1, 61) for part in range(1, 101)]


async def test_a_full_disk_is_told_once_and_nothing_is_missing_afterwards(
    finder: EngineFinder, run: Callable[..., Container], small_disk: Path
) -> None:
    paths = Paths(small_disk / "home")
    paths.ensure()
    waits = "until test -e /go; do sleep 0.1; done"
    container = run(f"{waits}; seq -f '%.0f {'x' * 100}' 1 20000; sleep 1; echo over")
    write_failures.clear()
    copying = asyncio.create_task(spool(paths, finder, container, max_bytes=10**9).run())
    await until((paths.run / "container-log.lock").exists, "it does not begin")
    filler = small_disk / "filler"
    room = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize - 1_000_000))
    await asyncio.to_thread(container.exec_run, ["touch", "/go"])
    await until(lambda: write_failures, "the full disk is not told")
    await asyncio.sleep(3)
    assert not copying.done()
    assert len(write_failures) == 1
    assert "No space left on device" in write_failures[0]
    filler.unlink()
    await asyncio.wait_for(copying, 60)
    assert len(write_failures) == 1
    write_failures.clear()
    assert copied(paths.home) == engines_log(container)


def texts_of(home: Path) -> list[str]:
    return [line.partition(" ")[2] for line in copied(home)]


async def test_a_long_log_is_whole_before_its_container_is_removed(
    client: docker.DockerClient, run: Callable[..., Container], paths: Paths
) -> None:
    container = run(f"seq 1 {MANY}", labels={LABEL_ROLE: ROLE_SEEDER})
    container.wait()
    services = docker_services(paths.home, "none", str(container.name))
    driver = services.environment.hosting
    record = await driver.find_server()
    assert record is not None
    # Others read at the same time, as the app does.
    readers = [asyncio.create_task(_read(driver.server_lines(record))) for _ in range(2)]
    await driver.forget_server(record)
    assert texts_of(paths.home) == [str(number) for number in range(1, MANY + 1)]
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(str(container.id))
    await asyncio.wait_for(asyncio.gather(*readers), 60)
    assert write_failures == []
    await services.close()


async def _read(log: AsyncIterator[list[str]]) -> None:
    async for _ in log:
        pass


async def test_before_a_container_is_removed_another_process_may_finish_its_copy(
    engine: Engine, finder: EngineFinder, run: Callable[..., Container], paths: Paths
) -> None:
    container = run(f"seq 1 {MANY}")
    container.wait()
    other = spooling(paths.home, engine.endpoint.address, container)
    await until(lambda: copied(paths.home), "nothing is copied")
    await copy_rest(finder, paths, str(container.id), str(container.name))
    container.remove()
    assert other.wait(30) == 0
    assert texts_of(paths.home) == [str(number) for number in range(1, MANY + 1)]
    assert write_failures == []


async def test_what_could_not_be_copied_is_told(
    finder: EngineFinder,
    run: Callable[..., Container],
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "_OTHERS_STUCK_S", 0.5)
    start_logging(paths)
    write_failures.clear()
    container = run("seq 1 3; until test -e /go; do sleep 0.1; done; seq 4 6")
    await until(lambda: len(engines_log(container)) == 3, "nothing is logged")
    await spool(paths, finder, container).run(follow=False)
    container.exec_run(["touch", "/go"])
    container.wait()
    log = engines_log(container)
    assert copied(paths.home) == log[:3]
    third, last = (log[at].partition(" ")[0] for at in (2, 5))
    # A process that holds the lock and does nothing.
    with FileLock(paths.run / "container-log.lock"):
        await copy_rest(finder, paths, str(container.id), str(container.name))
        (told,) = write_failures
        assert told == (
            f"container.log lacks the lines up to {last} that came after {third}"
            f" of the container {container.name} ({str(container.id)[:12]})."
        )
        assert told in (paths.logs / "app.log").read_text()
        batches = spooled_lines(finder, paths, str(container.id), "it")
        got = [line async for batch in batches for line in batch]
        assert got == [str(number) for number in range(1, 7)]
        assert "container.log is not whole yet" in (paths.logs / "app.log").read_text()
    write_failures.clear()
    await copy_rest(finder, paths, str(container.id), str(container.name))
    assert copied(paths.home) == log
    # Nothing is missing, whoever holds the lock.
    with FileLock(paths.run / "container-log.lock"):
        await copy_rest(finder, paths, str(container.id), str(container.name))
    assert write_failures == []


async def test_a_disk_that_stays_full_holds_up_nobody_and_is_told(
    finder: EngineFinder, run: Callable[..., Container], small_disk: Path
) -> None:
    paths = Paths(small_disk / "home")
    paths.ensure()
    container = run("seq 1 20000")
    container.wait()
    (paths.run / "container-log.lock").touch()
    filler = small_disk / "filler"
    room = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize))
    write_failures.clear()
    async with asyncio.timeout(90):
        await copy_rest(finder, paths, str(container.id), str(container.name))
    full, lacking = write_failures
    assert "No space left on device" in full
    assert lacking.startswith("container.log lacks the lines up to 2")
    write_failures.clear()
    assert copied(paths.home) == []
    filler.unlink()
    await copy_rest(finder, paths, str(container.id), str(container.name))
    assert copied(paths.home) == engines_log(container)


async def test_a_copy_that_is_cancelled_leaves_the_lock_to_the_next(
    finder: EngineFinder, run: Callable[..., Container], paths: Paths
) -> None:
    container = run(f"seq 1 {MANY}")
    container.wait()
    copying = asyncio.create_task(copy_rest(finder, paths, str(container.id), str(container.name)))
    await until(lambda: copied(paths.home), "nothing is copied")
    copying.cancel()
    await asyncio.wait([copying])
    assert copying.cancelled()
    assert 0 < len(copied(paths.home)) < MANY
    await copy_rest(finder, paths, str(container.id), str(container.name))
    assert texts_of(paths.home) == [str(number) for number in range(1, MANY + 1)]


@pytest.mark.parametrize("kind", ["killed", "stopped"])
async def test_the_daemon_goes_and_comes_back(
    kind: str,
    private_engine: PrivateEngine,
    run: Callable[..., Container],
    client: docker.DockerClient,
    shell_image: str,
    paths: Paths,
) -> None:
    own = docker.DockerClient(base_url=private_engine.host)
    copy_image(shell_image, client, own)
    container = run(TICKING.format(100_000, 0.01), own, shell_image)
    finder = finder_at(private_engine.host)
    copying = asyncio.create_task(spool(paths, finder, container).run())
    contact: list[bool] = []
    got: list[StampedLine] = []

    async def reading() -> None:
        log = container_log(finder, str(container.id), on_contact=contact.append)
        async for batch in log:
            got.extend(batch)

    reader = asyncio.create_task(reading())
    await until(lambda: len(got) > 50 and copied(paths.home), "nothing comes")
    await asyncio.to_thread(private_engine.kill if kind == "killed" else private_engine.stop)
    await until(lambda: contact == [True], "nobody noticed that the engine is gone")
    await asyncio.to_thread(private_engine.start)
    # The daemon ends the containers that it finds or stops.
    await asyncio.wait_for(asyncio.gather(reader, copying), 60)
    assert contact == [True, False]
    assert not state(container)["Running"]
    log = engines_log(container)
    assert as_text(got) == log
    assert copied(paths.home) == log
    # The same container once more: its log goes on.
    container.start()
    again = asyncio.create_task(spool(paths, finder, container).run())
    await until(lambda: len(copied(paths.home)) > len(log) + 20, "it does not go on")
    container.stop(timeout=0)
    await asyncio.wait_for(again, 60)
    assert copied(paths.home) == engines_log(container)
    finder.close()
    own.close()


async def test_podmans_log_goes_on_while_its_service_is_away(
    podman_service: PodmanService,
    podman_engine: Engine,
    run: Callable[..., Container],
    paths: Paths,
) -> None:
    own = docker.DockerClient(base_url=podman_service.host, timeout=60)
    container = run(
        "for i in $(seq 1 80); do seq $i.01 0.01 $i.50; printf part; sleep 0.1; echo ial; done", own
    )
    finder = finder_at(podman_service.host)
    copying = asyncio.create_task(spool(paths, finder, container).run())
    try:
        await until(lambda: len(copied(paths.home)) > 500, "nothing is copied")
        await asyncio.to_thread(podman_service.kill)
        await asyncio.sleep(1)
    finally:
        await asyncio.to_thread(podman_service.start)
    await asyncio.wait_for(copying, 90)
    got = copied(paths.home)
    expected = [text for i in range(1, 81) for text in (*_numbers(i), "partial")]
    assert [line.partition(" ")[2] for line in got] == expected
    # Podman's own output of a line that was written in parts has a stamp before each part.
    own_log = text_lines(bytes(container.logs(timestamps=True)))
    assert [line for line in got if "partial" not in line] == [
        line for line in own_log if "part" not in line
    ]
    finder.close()
    own.close()


def _numbers(whole: int) -> list[str]:
    return [f"{whole}.{part:02}" for part in range(1, 51)]


def test_the_command_logs_keeps_the_log_that_it_prints(
    engine: Engine, run: Callable[..., Container], paths: Paths
) -> None:
    container = run(
        "echo one; until test -e /go; do sleep 0.1; done; echo two --token hf_abcdefghijkl; sleep 60",
        labels={LABEL_ROLE: ROLE_SEEDER},
    )
    environment = os.environ | {
        "TORBIZ_DOCKER_CONTAINER": str(container.name),
        "TORBIZ_DOCKER_HOST": engine.endpoint.address,
        "TORBIZ_ENVIRONMENT": "docker",
        "TORBIZ_HOME": str(paths.home),
    }
    command = [sys.executable, "-m", "torbiz_tui.cli", "logs", "container"]
    once = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert once.stderr == ""
    heading, line = once.stdout.splitlines()
    assert heading.startswith(f"==== container {container.name} {container.id} from 2")
    assert line.endswith("Z one")
    with subprocess.Popen(
        [*command, "-f"], env=environment, stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        lines = [following.stdout.readline() for _ in range(2)]
        container.exec_run(["touch", "/go"])
        lines.append(following.stdout.readline())
        following.terminate()
        assert following.wait(20) != 0
    assert lines[:2] == [f"{heading}\n", f"{line}\n"]
    assert lines[2].endswith(" two --token [redacted]\n")
    assert "hf_" not in (paths.logs / "container.log").read_text()
