"""Watching a swarm: what the monitor says, and what happens when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import demo_config
from tests.swarm_map.swarms import look, server
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    RunnerCommand,
    RunnerProcess,
)
from torbiz_tui.errors import NotServedError, TorbizError, UsageError
from torbiz_tui.paths import Paths
from torbiz_tui.swarm_map import monitor
from torbiz_tui.swarm_map.monitor import Looking, SwarmEvent, SwarmMonitor, Trouble, monitor_command
from torbiz_tui.swarm_map.snapshot import Snapshot

Said = Sequence[dict[str, Any] | None]
PEER = "/ip4/192.0.2.7/tcp/31337/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


class ScriptedProcess(RunnerProcess):
    """Says what it was given, then ends; None waits for ever."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self.stopped = False

    async def send(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        for message in self._said:
            if message is None:
                await asyncio.Event().wait()
            else:
                yield message

    async def wait(self) -> ExitReport:
        return ExitReport(code=1, last_lines=("the last line",))

    async def stop(self, grace_s: float = 5.0) -> ExitReport:
        self.stopped = True
        return ExitReport(code=0)

    async def close(self) -> None:
        await self.stop()


class ScriptedDriver:
    """Starts the processes it was given, one after the other."""

    def __init__(self, *runs: Said) -> None:
        self.processes = [ScriptedProcess(run) for run in runs]
        self.commands: list[RunnerCommand] = []

    async def spawn(self, command: RunnerCommand) -> RunnerProcess:
        self.commands.append(command)
        return self.processes[len(self.commands) - 1]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_FIRST_PAUSE_S", 0.01)


async def first_events(
    driver: ScriptedDriver,
    count: int,
    home: Path,
    failing: list[TorbizError] | None = None,
    model: str = "torbiz-demo",
    config: Config | None = None,
) -> list[SwarmEvent]:
    async def find_peers(_model: ModelInfo) -> tuple[str, ...] | None:
        if failing:
            raise failing.pop(0)
        return (PEER,)

    watched = SwarmMonitor(
        cast(EnvironmentDriver, driver), Paths(home), config or demo_config(home), find_peers
    )
    events: list[SwarmEvent] = []
    async with aclosing(watched.watch(model)) as received, asyncio.timeout(30):
        async for event in received:
            events.append(event)
            if len(events) == count:
                break
    return events


async def test_tells_its_stages_and_looks_and_is_ended_with_the_watching(tmp_path: Path) -> None:
    driver = ScriptedDriver(
        [
            {"type": "status", "stage": "connecting"},
            {"type": "status", "stage": "\x1b[2J"},
            {"type": "new in a later version"},
            look(8) | {"num_blocks": "eight"},
            look(8, server(1, 0, 8)),
            None,
        ]
    )
    *stages, swarm = await first_events(driver, 3, tmp_path)
    assert stages == [Looking("importing"), Looking("connecting")]
    assert isinstance(swarm, Snapshot)
    assert swarm.model == "torbiz-demo"
    assert driver.processes[0].stopped
    # The next one who watches is shown that until there is a newer look.
    again = await first_events(ScriptedDriver([None]), 1, tmp_path)
    assert isinstance(again[0], Looking)
    assert (again[0].where, again[0].last) == ("192.0.2.7:31337", swarm)
    (command,) = driver.commands
    assert command.script == "run_swarm_monitor.py"
    assert " ".join(command.arguments).endswith(
        f"--dht-prefix torbiz-demo-hf --initial-peer {PEER}"
    )


async def test_the_blocks_are_looked_for_by_the_name_that_the_swarm_gives_them(
    tmp_path: Path,
) -> None:
    driver = ScriptedDriver([look(8), None])
    config = demo_config(tmp_path)
    swarm = replace(config.swarm, dht_prefix="another-name")
    await first_events(driver, 2, tmp_path, config=replace(config, swarm=swarm))
    (command,) = driver.commands
    assert "--dht-prefix another-name" in " ".join(command.arguments)


async def test_a_monitor_that_dies_is_started_again(tmp_path: Path) -> None:
    fatal = {"type": "error", "code": "connection_failed", "message": "No answer.", "fatal": True}
    passing = {"type": "error", "code": "look_failed", "message": "Not now.", "fatal": False}
    driver = ScriptedDriver([fatal], [], [passing, look(8), None])
    events = await first_events(driver, 7, tmp_path)
    assert [type(event) for event in events] == [
        *(Looking, Trouble, Looking, Trouble, Looking, Trouble, Snapshot),
    ]
    refused, died, passed = (event for event in events if isinstance(event, Trouble))
    assert refused.error.what == "No answer."
    assert died.error.code == "monitor_died"
    assert "exit code 1" in died.error.why
    assert died.error.details == ("the last line",)
    assert died.again_in_s > refused.again_in_s > 0
    assert passed.again_in_s == 0
    assert all(process.stopped for process in driver.processes)


async def test_a_monitor_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_SILENCE_S", -4.9)
    driver = ScriptedDriver([None], [look(8), None])
    events = await first_events(driver, 4, tmp_path)
    trouble = events[1]
    assert isinstance(trouble, Trouble)
    assert trouble.error.code == "timeout"
    assert driver.processes[0].stopped


async def test_no_swarm_to_ask_is_a_trouble_until_there_is_one(tmp_path: Path) -> None:
    driver = ScriptedDriver([look(8), None])
    nobody = NotServedError("Nobody serves torbiz-demo now.")
    trouble, _stage, swarm = await first_events(driver, 3, tmp_path, [nobody])
    assert isinstance(trouble, Trouble)
    assert trouble.error is nobody
    assert isinstance(swarm, Snapshot)


async def test_a_model_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no model"):
        await first_events(ScriptedDriver(), 1, tmp_path, model="no such")


def test_of_a_hub_model_the_type_names_the_blocks() -> None:
    model = ModelInfo("owner/name", "owner/name", "falcon", 60)
    arguments = monitor_command(model, None, 2.0).arguments
    assert arguments == (
        *("--model-name", "owner/name", "--num-blocks", "60", "--period", "2"),
        *("--model-type", "falcon"),
    )


async def test_a_published_model_is_looked_for_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    driver = ScriptedDriver([None])
    await first_events(driver, 1, tmp_path, model="petals-team/StableBeluga2")
    (command,) = driver.commands
    arguments = " ".join(command.arguments)
    assert "--model-name petals-team/StableBeluga2 --num-blocks 80" in arguments
    assert "--model-type llama" in arguments
