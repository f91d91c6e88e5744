"""A runner that downloads a model is waited for as long as that takes; after that it has to hurry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from torbiz_tui.config import AskConfig, Config
from torbiz_tui.environments.base import EnvironmentDriver, ExitReport, RunnerCommand, RunnerProcess
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import DOWNLOADING, GenerateOptions, Message, StageChanged
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths

LIMIT_S = 0.3
HALF = {"type": "status", "stage": DOWNLOADING, "done_bytes": 5_000_000, "total_bytes": 10**7}


class TalkingRunner(RunnerProcess):
    """Says what it is given."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def send(self, message: Mapping[str, Any]) -> None:
        self.says.put_nowait({"type": "done", "id": message["id"], "finish_reason": "stop"})

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        while (message := await self.says.get()) is not None:
            yield message

    async def wait(self) -> ExitReport | None:
        return None

    async def stop(self, grace_s: float = 5.0) -> ExitReport:
        del grace_s
        self.says.put_nowait(None)
        return ExitReport()

    async def close(self) -> None:
        self.says.put_nowait(None)


class OneRunner:
    """The part of a driver that starts chat runners."""

    def __init__(self, runner: TalkingRunner) -> None:
        self._runner = runner

    async def chat_runner(self, command: RunnerCommand, key: str) -> RunnerProcess:
        del command, key
        return self._runner


@pytest.fixture
def runner() -> TalkingRunner:
    return TalkingRunner()


@pytest.fixture
async def service(tmp_path: Path, runner: TalkingRunner) -> AsyncIterator[InferenceService]:
    async def no_swarm(_model: object) -> None:
        return None

    config = Config(model="torbiz-demo", ask=AskConfig(start_timeout_s=LIMIT_S))
    driver = cast("EnvironmentDriver", OneRunner(runner))
    made = InferenceService(driver, Paths(tmp_path), config, no_swarm)
    yield made
    await made.close()


async def test_a_download_may_take_longer_than_a_start(
    service: InferenceService, runner: TalkingRunner
) -> None:
    runner.says.put_nowait(HALF)
    stages = []
    async for event in service.ask([Message("user", "hi")], GenerateOptions()):
        if isinstance(event, StageChanged):
            stages.append(event.text)
            if event.stage == DOWNLOADING:
                loop = asyncio.get_running_loop()
                loop.call_later(2 * LIMIT_S, runner.says.put_nowait, {**HALF, "stage": "ready"})
    assert stages == ["Downloading: 5 of 10 MB", "Ready"]


async def test_a_start_that_hangs_behind_a_download_is_given_up(
    service: InferenceService, runner: TalkingRunner
) -> None:
    runner.says.put_nowait(HALF)
    runner.says.put_nowait({"type": "status", "stage": "tokenizer"})
    with pytest.raises(TorbizError, match=r"hangs in: tokenizer"):
        async for _ in service.ask([Message("user", "hi")], GenerateOptions()):
            pass
