"""A chat runner whose model comes from the hub: what it tells of the download, and how it fails."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub.conftest import MODEL
from tests.hub.hub_server import HubModel, HubServer
from tests.hub.test_downloads import SECRET, TOKEN
from tests.runner_scripts.conftest import TinyModel
from tests.runner_scripts.runner_process import Event, RunnerProcess, ServerProcess
from tests.runner_scripts.talking import talk

INFERENCE = "run_petals_inference.py"
# The server of the tiny model calls its blocks so that this name of the hub finds them.
SERVED = "acme/tiny"

Start = Callable[..., RunnerProcess]


@pytest.fixture
def start(
    petals_python: Path, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Starts a chat runner with a cache of its own."""
    started: list[RunnerProcess] = []

    def start_runner(model: str, *arguments: str, token: str = "") -> RunnerProcess:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))
        monkeypatch.setenv("HF_TOKEN", token)
        runner = RunnerProcess(
            petals_python, INFERENCE, "--model-name", model, *arguments, online=True
        )
        started.append(runner)
        return runner

    yield start_runner
    for runner in started:
        runner.destroy()


def downloads(events: list[Event]) -> list[Event]:
    return [event for event in events if event.get("stage") == "downloading"]


def files_beside_the_blocks(folder: Path) -> set[str]:
    placed = json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))["weight_map"]
    return {file for name, file in placed.items() if not name.startswith("model.layers.")}


@pytest.mark.swarm
def test_only_what_a_client_computes_comes_and_a_cut_is_resumed(
    start: Start, hub: HubServer, model_folder: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    hub.add(HubModel(SERVED, model_folder, revisions=("v1.0",)))
    hub.trouble.cut_after, hub.trouble.cuts = 20_000, 1
    runner = start(SERVED, "--initial-peer", server.address, "--revision", "v1.0")
    events = runner.until(lambda event: event.get("stage") == "ready")
    told = downloads(events)
    wanted = files_beside_the_blocks(model_folder)
    assert 0 < len(wanted) < len(list(model_folder.glob("*.safetensors")))
    assert set(hub.bodies()) == wanted
    size = sum((model_folder / name).stat().st_size for name in wanted)
    assert (told[-1]["done_bytes"], told[-1]["total_bytes"]) == (size, size)
    assert [event["waiting"] for event in told if "waiting" in event] == [
        "the connection was closed before the end of the file"
    ]
    assert "bytes=20000-" in [request.range for request in hub.requests]
    stages = [event["stage"] for event in events if event["type"] == "status"]
    assert stages.index("importing") > stages.index("downloading")
    assert talk(runner, tiny_model.question, max_new_tokens=60).text == tiny_model.answer


@pytest.mark.swarm
def test_a_local_model_comes_whole_and_needs_no_hub_the_second_time(
    start: Start, hub: HubServer, model_folder: Path, tiny_model: TinyModel
) -> None:
    runner = start(MODEL, "--local")
    told = downloads(runner.until(lambda event: event.get("stage") == "ready"))
    names = {file.name for file in model_folder.glob("*.safetensors")}
    assert set(hub.bodies()) == names
    size = sum((model_folder / name).stat().st_size for name in names)
    assert (told[-1]["done_bytes"], told[-1]["total_bytes"]) == (size, size)
    assert talk(runner, tiny_model.question, max_new_tokens=60).text == tiny_model.answer
    hub.close()
    again = start(MODEL, "--local")
    assert not downloads(again.until(lambda event: event.get("stage") == "ready"))


@pytest.mark.parametrize(
    ("model", "token", "code", "words"),
    [
        ("acme/gated", "", "token_missing", "give a token of that account in HF_TOKEN"),
        ("acme/gated", TOKEN, "model_gated", "accept the licence"),
        (MODEL, SECRET, "token_invalid", "Make a new one"),
        ("acme/none", TOKEN, "model_not_found", "Check the spelling"),
    ],
)
def test_refusals_are_told_apart_before_anything_is_imported(
    start: Start,
    hub: HubServer,
    model_folder: Path,
    model: str,
    token: str,
    code: str,
    words: str,
) -> None:
    hub.add(HubModel("acme/gated", model_folder, gated=True))
    runner = start(model, token=token)
    [event] = runner.until(lambda event: event["type"] == "error")
    assert (event["code"], event["fatal"]) == (code, True)
    assert words in event["remedy"]
    assert SECRET not in json.dumps(event)
    assert len(hub.requests) == 1


def test_a_type_that_petals_does_not_serve_is_told_before_its_weights_come(
    start: Start, hub: HubServer, model_folder: Path
) -> None:
    (model_folder / "config.json").write_text('{"model_type": "gpt2"}', "utf-8")
    runner = start(MODEL)
    event = runner.until(lambda event: event["type"] == "error")[-1]
    assert event["code"] == "unsupported_model"
    assert "gpt2" in event["message"]
    assert not hub.bodies()


@pytest.mark.parametrize("options", [(), ("--local",)])
@pytest.mark.parametrize("in_folder", [False, True])
def test_pickled_weights_are_refused_before_a_byte_of_them_comes(
    start: Start, hub: HubServer, pickled_folder: Path, options: tuple[str, ...], in_folder: bool
) -> None:
    hub.add(HubModel("acme/pickled", pickled_folder))
    runner = start(str(pickled_folder) if in_folder else "acme/pickled", *options)
    events = runner.until(lambda event: event["type"] == "error")
    assert (events[-1]["code"], events[-1]["fatal"]) == ("pickled_weights", True)
    assert "pytorch_model.bin" in events[-1]["why"]
    assert "ask it with --allow-pickled-weights" in events[-1]["remedy"]
    assert "importing" not in [event.get("stage") for event in events]
    assert not hub.bodies()


def test_an_index_of_safetensors_cannot_name_pickles(
    start: Start, hub: HubServer, model_folder: Path
) -> None:
    index = model_folder / "model.safetensors.index.json"
    told = json.loads(index.read_text("utf-8"))
    told["weight_map"]["model.layers.3.self_attn.q_proj.weight"] = "layer-3.bin"
    index.write_text(json.dumps(told), "utf-8")
    event = start(MODEL).until(lambda event: event["type"] == "error")[-1]
    assert event["code"] == "pickled_weights"
    assert event["why"] == "Its index of weights names layer-3.bin."
    assert not hub.bodies()


@pytest.mark.swarm
def test_pickled_weights_that_were_agreed_to_answer_in_a_swarm(
    start: Start, hub: HubServer, pickled_folder: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    hub.add(HubModel(SERVED, pickled_folder))
    runner = start(SERVED, "--initial-peer", server.address, "--allow-pickled")
    runner.until(lambda event: event.get("stage") == "ready")
    assert hub.bodies() == ["pytorch_model.bin"]
    assert talk(runner, tiny_model.question, max_new_tokens=60).text == tiny_model.answer


class _Runs:
    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._file),)


@pytest.mark.swarm
def test_also_agreed_pickles_run_nothing(
    start: Start, pickled_folder: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made-by-a-pickle"
    (pickled_folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": _Runs(made)}))
    runner = start(str(pickled_folder), "--local", "--allow-pickled")
    event = runner.until(lambda event: event["type"] == "error")[-1]
    assert event["code"] == "pickled_code"
    assert not made.exists()
