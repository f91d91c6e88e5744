"""A server whose processes are stopped from outside is told, and stops all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import demo_config
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.environments.native_record import NativeRecord
from torbiz_tui.environments.processes import start_mark
from torbiz_tui.paths import Paths

# A supervisor that hands SIGTERM to its child and ends with it.
SUPERVISOR = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[NativeRecord, int]]:
    """The record of a server, and the process that would compute."""
    command = [sys.executable, "-c", SUPERVISOR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        mark = start_mark(supervisor.pid)
        assert mark is not None
        spec = ServerSpec("torbiz-demo", "/models/demo", 8)
        log = (tmp_path / "petals_seeder.log", 0)
        yield NativeRecord.of(supervisor.pid, mark, time.time(), spec, log), child
        for pid in (child, supervisor.pid):
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


async def test_a_frozen_server_is_told_and_goes_on(
    tmp_path: Path, server: tuple[NativeRecord, int]
) -> None:
    record, child = server
    driver = NativeDriver(Paths(tmp_path), demo_config(tmp_path))

    async def sample() -> None:
        async for _ in driver.samples(record):
            pass

    sampling = asyncio.create_task(sample())
    seen = driver.conditions(record)
    async with asyncio.timeout(60):
        assert not (await anext(seen)).paused
        os.kill(child, signal.SIGSTOP)
        assert (await anext(seen)).paused
        os.kill(child, signal.SIGCONT)
        assert not (await anext(seen)).paused
    sampling.cancel()


async def test_a_frozen_server_stops_gracefully(
    tmp_path: Path, server: tuple[NativeRecord, int]
) -> None:
    record, child = server
    driver = NativeDriver(Paths(tmp_path), demo_config(tmp_path))
    os.kill(child, signal.SIGSTOP)
    report = await driver.stop_server(record, 60.0)
    assert not report.killed
