"""A start that is cut off leaves nothing behind that nobody could end."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import demo_config, free_port
from torbiz_tui.environments import native_launch
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.environments.share_lock import share_lock
from torbiz_tui.logs.run_start import RunStart, begin_run
from torbiz_tui.paths import Paths


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NativeDriver:
    """One whose server does nothing at all."""
    paths = Paths(tmp_path / "home")
    paths.ensure()
    paths.env_python.parent.mkdir(parents=True)
    paths.env_python.symlink_to(sys.executable)
    made = NativeDriver(paths, demo_config(paths.home))

    async def prepared(*_: object) -> None:
        """Setup is not needed for that."""

    monkeypatch.setattr(made, "prepare_server", prepared)
    does_nothing = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(made, "server_argv", lambda _spec: does_nothing)
    return made


async def test_a_start_that_is_cancelled_in_the_middle_is_undone(
    driver: NativeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(log: Any, title: str) -> RunStart:
        begun.set()
        assert go_on.wait(60)
        return begin_run(log, title)

    monkeypatch.setattr(native_launch, "begin_run", slow)
    spec = ServerSpec("torbiz-demo", "x", 8, port=free_port(), restart_on_crash=False)
    starting = asyncio.create_task(driver.start_server(spec, {}))
    assert await asyncio.to_thread(begun.wait, 60)
    starting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await driver.find_server() is None
    (process,) = driver._children.values()
    assert await asyncio.to_thread(process.wait, 60) is not None
    with share_lock(driver._paths):
        """Somebody else may start one."""


async def test_what_is_not_cancelled_is_remembered(driver: NativeDriver) -> None:
    spec = ServerSpec("torbiz-demo", "x", 8, port=free_port(), restart_on_crash=False)
    record = await driver.start_server(spec, {})
    assert await driver.find_server() == record
    assert await driver.is_running(record)
    report = await driver.stop_server(record, 60)
    assert report.asked
    assert not await driver.is_running(record)
