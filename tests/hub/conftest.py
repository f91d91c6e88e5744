"""A real Llama in sharded safetensors files, and a hub that has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import one_at_a_time, shared_folder
from tests.hub.hub_server import HubModel, HubServer, running_hub
from tests.runner_scripts.conftest import petals_python, server, tiny_model
from tests.runner_scripts.runner_process import runner_environment

__all__ = ["petals_python", "server", "tiny_model"]

MODEL = "acme/tiny-llama"


@pytest.fixture(scope="session")
def sharded_model(petals_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Llama with 8 blocks in several files; made once a run, to be left as it is."""
    folder = shared_folder(tmp_path_factory) / "sharded-llama"
    with one_at_a_time(folder.with_suffix(".lock")):
        if not folder.exists():
            whole, made = folder.with_suffix(".whole"), folder.with_suffix(".made")
            tiny = Path(__file__).parents[1] / "runner_scripts" / "make_tiny_model.py"
            split = Path(__file__).with_name("make_sharded_model.py")
            for command in ([tiny, whole], [split, whole, made, folder.with_suffix(".bin")]):
                subprocess.run(
                    [petals_python, *command], check=True, timeout=120, env=runner_environment()
                )
            made.rename(folder)
    return folder


@pytest.fixture
def pickled_folder(sharded_model: Path, tmp_path: Path) -> Path:
    """The same model with its weights as PyTorch pickles them."""
    folder = tmp_path / "pickled-model"
    shutil.copytree(sharded_model, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    shutil.copy(sharded_model.with_suffix(".bin"), folder / "pytorch_model.bin")
    return folder


@pytest.fixture
def model_folder(sharded_model: Path, tmp_path: Path) -> Path:
    """A copy of that model, to change."""
    return shutil.copytree(sharded_model, tmp_path / "served-model")


@pytest.fixture
def hub(model_folder: Path) -> Iterator[HubServer]:
    """A hub that has the model as `acme/tiny-llama`."""
    with running_hub(HubModel(MODEL, model_folder)) as server:
        yield server
