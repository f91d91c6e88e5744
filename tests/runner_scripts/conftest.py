"""A tiny model, one server of it and one chat runner, shared by the tests of the scripts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from torbiz_tui.paths import Paths

from .runner_process import RunnerProcess, ServerProcess, runner_environment


@dataclass(frozen=True)
class TinyModel:
    """The model's folder, and what it answers greedily when it runs locally."""

    folder: Path
    reference: dict[str, Any]

    @property
    def question(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = self.reference["messages"]
        return messages

    @property
    def answer(self) -> str:
        return str(self.reference["text"])


@pytest.fixture(scope="session")
def petals_python(request: pytest.FixtureRequest) -> Path:
    """A Python with the Petals stack: TORBIZ_TEST_PETALS_PYTHON, or what Setup installs."""
    given = os.environ.get("TORBIZ_TEST_PETALS_PYTHON")
    if given:
        assert Path(given).is_file(), f"TORBIZ_TEST_PETALS_PYTHON={given} is not a file"
        return Path(given)
    return Paths(request.getfixturevalue("stack_home")).env_python


@pytest.fixture(scope="session")
def tiny_model(petals_python: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    script = Path(__file__).with_name("make_tiny_model.py")
    subprocess.run(
        [str(petals_python), str(script), str(folder)],
        check=True,
        timeout=120,
        env=runner_environment(),
    )
    return TinyModel(folder, json.loads((folder / "reference.json").read_text("utf-8")))


@pytest.fixture(scope="session")
def server(petals_python: Path, tiny_model: TinyModel) -> Iterator[ServerProcess]:
    process = ServerProcess(petals_python, tiny_model.folder, "--new-swarm")
    try:
        yield process.wait_serving()
    finally:
        process.destroy()


@pytest.fixture(scope="session")
def chat(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> Iterator[RunnerProcess]:
    """A chat runner that has not been read from yet."""
    process = start_chat(petals_python, tiny_model, server.address)
    try:
        yield process
    finally:
        process.destroy()


def start_chat(python: Path, model: TinyModel, address: str, *arguments: str) -> RunnerProcess:
    return RunnerProcess(
        python,
        "run_petals_inference.py",
        "--model-name",
        str(model.folder),
        "--initial-peer",
        address,
        *arguments,
    )
