"""What goes wrong with watching a server is told, and watching goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from torbiz_tui.config import Config
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    ResourceSample,
    ServerCondition,
    ServerRecord,
    ServerSpec,
)
from torbiz_tui.paths import Paths
from torbiz_tui.sharing import watching
from torbiz_tui.sharing.holding import HeldState
from torbiz_tui.sharing.state import Phase
from torbiz_tui.sharing.watching import ServerWatch

LINES = [
    "Nov 23 20:42:49.001 [INFO] Starting a server for demo",
    "Nov 23 20:42:58.426 [INFO] Started",
]
RECORD = ServerRecord(
    environment="native",
    id="1",
    started_at=1.0,
    spec=ServerSpec(model="demo", source="demo", num_blocks=8, dht_prefix="demo", blocks="0:8"),
)


class Unreadable:
    """A driver whose server runs on, and whose log cannot be read at first."""

    name = "native"

    def __init__(self) -> None:
        self.readable = asyncio.Event()

    async def is_running(self, _record: object) -> bool:
        return True

    async def server_lines(self, _record: object) -> AsyncIterator[list[str]]:
        yield LINES[:1]
        if not self.readable.is_set():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        yield LINES[1:]
        await asyncio.Event().wait()

    async def conditions(self, _record: object) -> AsyncIterator[ServerCondition]:
        yield ServerCondition()
        await asyncio.Event().wait()

    async def samples(self, _record: object) -> AsyncIterator[ResourceSample]:
        yield ResourceSample(1.0, 1, 1)
        await asyncio.Event().wait()


class Ended(Unreadable):
    """A driver whose server has ended while it was to be started again."""

    async def is_running(self, _record: object) -> bool:
        return False

    async def server_lines(self, _record: object) -> AsyncIterator[list[str]]:
        yield [*LINES, "Nov 23 20:50:00.000 [INFO] Sharing pauses: it serves at 22:00-07:00 only"]

    async def wait_server(self, _record: object) -> ExitReport:
        return ExitReport(code=1)

    async def find_server(self) -> ServerRecord:
        return RECORD


async def test_a_server_that_has_ended_pauses_no_more(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    driver: Any = Ended()
    held = HeldState(paths)
    watch = ServerWatch(cast("EnvironmentDriver", driver), held, Config())
    await watch.begin(RECORD)
    await watch.finish(0)
    assert "it serves at 22:00-07:00 only" in held.now.events[-2].text
    assert (held.now.phase, held.now.pauses, held.now.restart_at) == (Phase.FAILED, "", None)
    await held.close()


class Stopped(Ended):
    """A driver whose server was stopped, so many seconds ago."""

    def __init__(self, ago_s: float) -> None:
        super().__init__()
        self._ended_at = time.time() - ago_s
        self.forgotten: list[str] = []

    async def wait_server(self, _record: object) -> ExitReport:
        return ExitReport(code=0, asked=True, ended_at=self._ended_at)

    async def forget_server(self, record: ServerRecord) -> None:
        self.forgotten.append(record.id)


@pytest.mark.parametrize(("ago_s", "forgotten"), [(0.0, []), (3600.0, ["1"])])
async def test_a_server_whose_stopping_nobody_saw_to_the_end_is_told_once(
    tmp_path: Path, ago_s: float, forgotten: list[str]
) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    driver: Any = Stopped(ago_s)
    held = HeldState(paths)
    watch = ServerWatch(cast("EnvironmentDriver", driver), held, Config())
    await watch.begin(RECORD)
    await watch.finish(30)
    assert held.now.phase is Phase.STOPPED
    assert held.now.events[-1].text == "The server was stopped from elsewhere"
    # Whoever stops it just now does that.
    assert driver.forgotten == forgotten
    await held.close()


async def test_a_log_that_cannot_be_read_is_told_and_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_FOLLOW_AGAIN_S", 0.01)
    paths = Paths(tmp_path)
    paths.ensure()
    driver: Any = Unreadable()
    held = HeldState(paths)
    watch = ServerWatch(cast("EnvironmentDriver", driver), held, Config())
    with held.subscribe() as changes:
        states = aiter(changes)
        await watch.begin(RECORD)
        async with asyncio.timeout(30):
            while not held.now.lost:
                await anext(states)
            assert held.now.lost == "The server cannot be followed (Input/output error)."
            assert held.now.phase is Phase.STARTING
            assert sum("cannot be followed" in event.text for event in held.now.events) == 1
            driver.readable.set()
            while held.now.lost or "Petals has started" not in [e.text for e in held.now.events]:
                await anext(states)
    told = [event.text for event in held.now.events]
    assert len(told) == len(set(told)), "what was told is told twice"
    await watch.finish(0)
    await held.close()
