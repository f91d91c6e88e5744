"""A swarm whose only server goes away and comes back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .conftest import TinyModel, start_chat
from .runner_process import ServerProcess
from .talking import talk

pytestmark = pytest.mark.swarm


def test_a_warm_runner_finds_the_only_server_again(
    petals_python: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder, identity = tiny_model.folder, str(tmp_path / "server.identity")
    first = ServerProcess(petals_python, folder, "--new-swarm", "--identity", identity)
    runner, second = None, None
    try:
        runner = start_chat(petals_python, tiny_model, first.wait_serving().address)
        runner.until(lambda event: event.get("stage") == "ready")
        assert talk(runner, tiny_model.question, max_new_tokens=60).text == tiny_model.answer
        first.process.send_signal(signal.SIGTERM)
        assert first.wait() == 0
        route = runner.until(lambda event: event["type"] == "route")[-1]
        assert route["missing"] == [[0, 8]]
        # Only then nobody is left to ask.
        runner.wait_log("its initial peers are asked")

        place = f"/ip4/127.0.0.1/tcp/{first.port}"
        second = ServerProcess(
            petals_python, folder, "--new-swarm", "--identity", identity, "--host-maddr", place
        )
        runner.until(lambda event: event.get("stage") == "ready")
        assert talk(runner, tiny_model.question, max_new_tokens=60).text == tiny_model.answer
    finally:
        for process in (first, second, runner):
            if process is not None:
                process.destroy()
