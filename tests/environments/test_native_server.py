"""The native driver with a real Petals server on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.conftest import demo_config, free_port
from tests.pace import Stopwatch
from torbiz_tui.catalogue import demo_info
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.environments.native_record import NativeRecord
from torbiz_tui.environments.ports import require_free_port
from torbiz_tui.environments.processes import start_mark
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.following import read_lines
from torbiz_tui.paths import Paths

pytestmark = pytest.mark.swarm


def driver_of(home: Path) -> NativeDriver:
    return NativeDriver(Paths(home), demo_config(home))


def demo_spec(port: int) -> ServerSpec:
    demo = demo_info()
    return ServerSpec(
        model=demo.name,
        source=demo.source,
        num_blocks=demo.num_blocks,
        dht_prefix=demo.dht_prefix,
        blocks=f"0:{demo.num_blocks}",
        torch_dtype="float32",
        throughput="1",
        port=port,
        new_swarm=True,
        host_maddrs=(f"/ip4/127.0.0.1/tcp/{port}",),
        restart_on_crash=False,
    )


async def until_logged(driver: NativeDriver, record: NativeRecord, text: str) -> None:
    async with asyncio.timeout(180):
        async for lines in driver.server_lines(record):
            if any(text in line for line in lines):
                return
    raise AssertionError(f"the server ended without {text!r}: {read_lines(record.log_file)[-5:]}")


def processes_of(home: Path) -> list[str]:
    """Living processes that belong to a server of this home folder, p2pd included."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        cache = (process.info["environ"] or {}).get("PETALS_CACHE", "")
        if cache.startswith(str(home)) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(process.info["cmdline"] or [])[:80])
    return found


async def until_gone(home: Path, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while processes_of(home):
            await asyncio.sleep(0.05)


@pytest.fixture
async def served(demo_home: Path) -> AsyncIterator[tuple[NativeDriver, NativeRecord]]:
    driver = driver_of(demo_home)
    record = await driver.start_server(demo_spec(free_port()), {})
    await until_logged(driver, record, "Confirmed in the DHT")
    yield driver, record
    await driver.stop_server(record, 10.0)


async def test_found_again_then_stopped_gracefully(
    demo_home: Path, served: tuple[NativeDriver, NativeRecord]
) -> None:
    _first, record = served
    # Another driver is what the app is after it was closed and opened again.
    driver = driver_of(demo_home)
    assert await driver.find_server() == record
    assert await driver.is_running(record)
    sample = await anext(driver.samples(record))
    assert sample.memory_bytes > 100_000_000
    begun = time.monotonic()
    report = await driver.stop_server(record, 20.0)
    assert time.monotonic() - begun < 5.0
    assert (report.code, report.signal, report.killed, report.asked) == (0, None, False, True)
    log = "\n".join(read_lines(record.log_file))
    assert "are offline" in log
    assert "Traceback" not in log
    assert processes_of(demo_home) == []
    await driver.forget_server(record)
    assert await driver.find_server() is None


async def test_a_second_server_is_refused(served: tuple[NativeDriver, NativeRecord]) -> None:
    driver, _record = served
    with pytest.raises(TorbizError, match="already sharing torbiz-demo") as caught:
        await driver.start_server(demo_spec(free_port()), {})
    assert caught.value.code == "already_sharing"


async def test_a_killed_server_leaves_nothing_and_its_end_is_reported(
    demo_home: Path, served: tuple[NativeDriver, NativeRecord]
) -> None:
    driver, record = served
    supervisor = psutil.Process(record.pid)
    os.kill(supervisor.children()[0].pid, signal.SIGKILL)
    watch = Stopwatch()
    async with asyncio.timeout(30):
        report = await driver.wait_server(record)
    assert watch.seconds < 2
    assert report.signal == "SIGKILL"
    assert not report.asked
    assert report.last_lines
    await until_gone(demo_home)


async def test_a_killed_supervisor_takes_the_server_with_it(
    demo_home: Path, served: tuple[NativeDriver, NativeRecord]
) -> None:
    driver, record = served
    os.kill(record.pid, signal.SIGKILL)
    watch = Stopwatch()
    async with asyncio.timeout(30):
        report = await driver.wait_server(record)
    assert watch.seconds < 2
    assert report.code is None
    await until_gone(demo_home)


async def test_a_server_that_hangs_is_killed_and_that_is_said(
    demo_home: Path, served: tuple[NativeDriver, NativeRecord]
) -> None:
    driver, record = served
    for process in psutil.Process(record.pid).children(recursive=True):
        process.suspend()
    # A stop lets them go on: they get less time than they need.
    report = await driver.stop_server(record, 0.05)
    assert report.killed
    assert report.sentence() == "It did not stop in time and was killed."
    await until_gone(demo_home)


@pytest.mark.parametrize("moment", ["Starting a server", "Using DHT prefix", "are joining"])
async def test_a_stop_during_the_start_leaves_nothing(demo_home: Path, moment: str) -> None:
    driver = driver_of(demo_home)
    record = await driver.start_server(demo_spec(free_port()), {})
    await until_logged(driver, record, moment)
    report = await driver.stop_server(record, 20.0)
    assert (report.code, report.killed) == (0, False)
    await until_gone(demo_home)


async def test_a_recycled_pid_is_not_the_server(demo_home: Path) -> None:
    driver = driver_of(demo_home)
    mark = start_mark(os.getpid())
    assert mark is not None
    record = NativeRecord.of(os.getpid(), mark, time.time(), demo_spec(1), (demo_home / "x.log", 0))
    assert await driver.is_running(record)
    stale = replace(record, start_mark=mark + "9")
    assert not await driver.is_running(stale)
    # Stopping it must not touch the innocent process that has the number now.
    report = await driver.stop_server(stale, 1.0)
    assert report.code is None


async def test_a_taken_port_names_who_has_it(demo_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TorbizError, match=rf"Port {port} is taken by .*{os.getpid()}"):
            require_free_port(port)
        with pytest.raises(TorbizError, match="is taken"):
            await driver_of(demo_home).start_server(demo_spec(port), {})
    assert processes_of(demo_home) == []


async def test_without_the_stack_the_person_is_sent_to_setup(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    with pytest.raises(TorbizError, match="Petals is not installed yet") as caught:
        await driver_of(tmp_path).start_server(demo_spec(free_port()), {})
    assert "Setup" in caught.value.remedy


async def test_tokens_are_not_in_the_process_list_nor_in_the_log(demo_home: Path) -> None:
    driver = driver_of(demo_home)
    secret = "hf_" + "q" * 30
    record = await driver.start_server(demo_spec(free_port()), {"TORBIZ_NODE_TOKEN": secret})
    await until_logged(driver, record, "Running Petals")
    listed = [
        " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    report = await driver.stop_server(record, 20.0)
    assert not report.killed
    assert not any(secret in line for line in listed)
    for file in [*Paths(demo_home).logs.iterdir(), *Paths(demo_home).run.iterdir()]:
        assert secret.encode() not in file.read_bytes()


async def test_on_a_full_disk_nothing_is_started(small_disk: Path, stack_home: Path) -> None:
    paths = Paths(small_disk)
    paths.ensure()
    paths.env.symlink_to(Paths(stack_home).env, target_is_directory=True)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(50_000_000))
    with pytest.raises(TorbizError, match="nothing was started") as caught:
        await driver_of(small_disk).start_server(demo_spec(free_port()), {})
    assert "No space left" in caught.value.why
    await until_gone(small_disk)
    assert await driver_of(small_disk).find_server() is None
