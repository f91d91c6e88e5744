"""What a server is made with, in which order, and what its end tells: without the Petals stack."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import struct
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .runner_process import SCRIPTS


@pytest.fixture
def seeder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The seeder's module, whose heavy imports are stand-ins; `made` gets a server's arguments."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module: Any = importlib.import_module("run_petals_seeder")
    made: list[dict[str, Any]] = []
    unavailable = SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
    backends = SimpleNamespace(mps=unavailable, openmp=SimpleNamespace(is_available=lambda: True))
    server = SimpleNamespace(QuantType={"NONE": 0}, Server=lambda **options: made.append(options))
    stand_ins = {
        "torch": SimpleNamespace(
            cuda=unavailable,
            backends=backends,
            device=lambda name: SimpleNamespace(type=name),
            float32="float32",
            set_num_threads=lambda _: None,
        ),
        "petals": SimpleNamespace(__version__="2.2.0"),
        "petals.server.server": server,
        "hivemind.utils.limits": SimpleNamespace(
            logger=SimpleNamespace(setLevel=lambda _: None), increase_file_limit=lambda *_: None
        ),
        "block_downloads": SimpleNamespace(
            download_before_loading=lambda *_: None, load_through=lambda *_: None
        ),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    config = SimpleNamespace(
        model_type="llama", num_hidden_layers=2, hidden_size=64, torch_dtype="float32"
    )
    monkeypatch.setattr(module, "load_config", lambda *_, **__: config)
    monkeypatch.setattr(module, "release_after_prompts", lambda: None)
    for name, what in (("petals_compat", "apply"), ("seeder_options", "is_installed")):
        monkeypatch.setattr(importlib.import_module(name), what, lambda *_, **__: True)
    monkeypatch.setattr(module, "made", made, raising=False)
    return module


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a model of two blocks in two files."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    files = {f"model.layers.{block}.mlp.weight": f"{block}.safetensors" for block in (0, 1)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    for file in files.values():
        (folder / file).write_bytes(struct.pack("<Q", 2) + b"{}")
    return folder


def create(seeder: Any, model: Path, *arguments: str) -> dict[str, Any]:
    """Create a server of these options, and return its arguments."""
    options = seeder.parse_options(
        ["--model-name", str(model), "--new-swarm", "--no-rewind", *arguments]
    )
    options.cache_dir = model.parent
    seeder._create_server(options, SimpleNamespace(hook=lambda: None))
    return dict(seeder.made[-1])


def test_the_balance_is_looked_at_as_often_as_petals_own_program_does(
    seeder: Any, model: Path
) -> None:
    assert create(seeder, model)["mean_balance_check_period"] == 60
    given = create(seeder, model, "--petals-option", "mean_balance_check_period=600")
    assert given["mean_balance_check_period"] == 600


def test_that_a_file_of_the_folder_is_missing_is_said_before_a_swarm_is_joined(
    seeder: Any, model: Path
) -> None:
    (model / "1.safetensors").unlink()
    create(seeder, model, "--blocks", "0:1")
    seeder.made.clear()
    with pytest.raises(seeder.ModelError, match=r"lacks 1\.safetensors"):
        create(seeder, model)
    assert not seeder.made


def test_an_adapter_is_looked_at_before_the_model_is_got(seeder: Any, model: Path) -> None:
    (model / "1.safetensors").unlink()
    with pytest.raises(seeder.ModelError, match=r"adapter \S+v1\.5 cannot be loaded"):
        create(seeder, model, "--petals-option", f"adapters={model.parent / 'v1.5'}")


@pytest.mark.parametrize(
    ("code", "words"), [("pickled_code", b"refused\n"), ("hub_unreachable", b"")]
)
def test_a_server_that_would_fail_again_on_other_blocks_says_so(
    seeder: Any, monkeypatch: pytest.MonkeyPatch, code: str, words: bytes
) -> None:
    receiving, sending = os.pipe()
    monkeypatch.setenv("TORBIZ_SUPERVISOR_FD", str(sending))
    monkeypatch.setattr(seeder.process_signals, "start_deadline", lambda *_: None)
    monkeypatch.setattr(seeder, "_finish_interrupted_start", lambda: None)

    def run() -> None:
        raise seeder.ModelError(code, "the weights of other blocks")

    stop = SimpleNamespace(is_set=lambda: True)
    server = SimpleNamespace(run=run, shutdown=lambda: None, stop=stop, module_container=None)
    assert seeder._serve(server, seeder._StopSignals(), None, None) == 1
    os.close(sending)
    told = os.read(receiving, 100)
    os.close(receiving)
    assert told == words


def test_an_error_of_native_code_that_a_stop_interrupted_is_no_failure(
    seeder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeder.process_signals, "start_deadline", lambda *_: None)
    monkeypatch.setattr(seeder, "_finish_interrupted_start", lambda: None)
    stop_signals, stop, shut_down = seeder._StopSignals(), threading.Event(), threading.Event()

    def run() -> None:
        try:
            stop_signals(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape of object type") from None

    server = SimpleNamespace(run=run, shutdown=shut_down.set, stop=stop, module_container=None)
    assert seeder._serve(server, stop_signals, None, None) == 0
    assert shut_down.is_set()
    assert stop.wait(5)


def test_a_stop_that_native_code_loses_still_ends_the_server(
    seeder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeder.process_signals, "start_deadline", lambda *_: None)
    monkeypatch.setattr(seeder, "_finish_interrupted_start", lambda: None)
    stop_signals, stop = seeder._StopSignals(), threading.Event()

    def run() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            stop_signals(signal.SIGTERM)
        assert stop.wait(5)

    server = SimpleNamespace(run=run, shutdown=lambda: None, stop=stop, module_container=None)
    assert seeder._serve(server, stop_signals, None, None) == 0
