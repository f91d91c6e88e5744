"""The chat runner without a swarm."""

from __future__ import annotations

import importlib
import json
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from tests.promptness import require_prompt

from .conftest import TinyModel
from .runner_process import SCRIPTS, RunnerProcess, run_script, runner_environment
from .talking import send, talk, tokens_of, user

INFERENCE = "run_petals_inference.py"


def start_local(python: Path, folder: Path, *arguments: str) -> RunnerProcess:
    return RunnerProcess(python, INFERENCE, "--local", "--model-name", str(folder), *arguments)


@pytest.fixture(scope="module")
def local(petals_python: Path, tiny_model: TinyModel) -> Iterator[RunnerProcess]:
    runner = start_local(petals_python, tiny_model.folder)
    try:
        yield runner
    finally:
        runner.destroy()


@pytest.mark.swarm
class TestConversation:
    """One warm runner."""

    def test_loads_in_stages_and_answers_like_transformers(
        self, local: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        stages = local.until(lambda event: event.get("stage") == "ready")
        assert [event["stage"] for event in stages if event["type"] == "status"] == [
            "importing",
            "tokenizer",
            "loading",
            "routing",
            "ready",
        ]
        assert stages[-1]["local"] is True
        (route,) = [event for event in stages if event["type"] == "route"]
        assert (route["local"], route["complete"], route["num_blocks"]) == (True, True, 8)
        reply = talk(local, tiny_model.question, max_new_tokens=60)
        assert reply.text == tiny_model.answer
        assert reply.started["route"]["local"] is True
        assert reply.end["usage"]["prompt_tokens"] == tiny_model.reference["prompt_tokens"]

    def test_no_process_and_no_connection_belong_to_it(self, local: RunnerProcess) -> None:
        (process,) = local.family()
        assert isinstance(process, psutil.Process)
        assert process.net_connections() == []

    def test_going_on_again_and_elsewhere_reuse_what_was_computed(
        self, local: RunnerProcess
    ) -> None:
        first = talk(local, user("Once upon a time"), conversation="c")
        turns = user("Once upon a time", first.text, "And then?")
        second = talk(local, turns, conversation="c")
        usage = first.end["usage"]
        assert second.reused == usage["prompt_tokens"] + usage["completion_tokens"] - 1
        again = talk(local, turns, conversation="c")
        assert again.reused == again.end["usage"]["prompt_tokens"] - 1
        assert again.text == second.text
        turns = user("Once upon a time", first.text, "And elsewhere?")
        elsewhere = talk(local, turns, conversation="c")
        assert elsewhere.reused > usage["prompt_tokens"]
        assert elsewhere.text == talk(local, turns, conversation="anew").text

    def test_a_conversation_keeps_its_place_beside_others_until_it_is_released(
        self, local: RunnerProcess
    ) -> None:
        question = user("Who is there?")
        talk(local, question, conversation="kept")
        talk(local, user("Something else"), conversation="other")
        assert talk(local, question, conversation="kept").reused > 0
        local.send({"type": "release", "conversation": "kept"})
        assert talk(local, question, conversation="kept").reused == 0

    def test_stop_texts_seeds_and_raw_prompts(
        self, local: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        stop = tiny_model.answer[10:13]
        reply = talk(local, tiny_model.question, max_new_tokens=60, stop=["never", stop])
        assert reply.text == tiny_model.answer[: tiny_model.answer.index(stop)]
        assert reply.end["finish_reason"] == "stop"
        options = {"temperature": 1.5, "top_p": 0.9}
        texts = [talk(local, tiny_model.question, seed=seed, **options).text for seed in (7, 7, 8)]
        assert texts[0] == texts[1] != texts[2]
        assert talk(local, prompt="Once").end["usage"]["prompt_tokens"] == len("Once")

    def test_cancel_ends_an_answer_and_the_reading_of_a_long_question(
        self, local: RunnerProcess, tiny_model: TinyModel
    ) -> None:
        def cancelled(request_id: str) -> float:
            asked = time.monotonic()
            local.send({"type": "cancel", "id": request_id})
            local.until(lambda event: event["type"] == "done")
            return time.monotonic() - asked

        def an_answer() -> float:
            running = send(local, tiny_model.question, max_new_tokens=1900)
            tokens_of(local, running, 3)
            return cancelled(running)

        require_prompt(an_answer, 0.2)
        require_prompt(lambda: cancelled(send(local, user("x" * 1500), max_new_tokens=1)), 0.2)
        reply = talk(local, tiny_model.question, max_new_tokens=60)
        assert reply.text == tiny_model.answer

    def test_the_oldest_turns_of_a_long_conversation_are_dropped(
        self, local: RunnerProcess
    ) -> None:
        reply = talk(local, user(*["x" * 300] * 9), max_new_tokens=5)
        assert reply.started["dropped_messages"] > 0
        assert reply.started["prompt_tokens"] < 2048
        assert talk(local, user("x" * 3000)).end["code"] == "context_full"


@pytest.mark.swarm
def test_every_kind_of_model_says_the_same_as_transformers(
    petals_python: Path, tiny_model: TinyModel
) -> None:
    script = Path(__file__).with_name("check_local_models.py")
    result = subprocess.run(
        [str(petals_python), str(script), str(tiny_model.folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=runner_environment(),
    )
    assert result.returncode == 0, result.stderr
    kinds = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(kinds) == 4
    for kind in kinds:
        assert kind["same"], kind
        assert kind["branched"], kind
        assert kind["back"], kind
        assert kind["reused"] == [0, kind["prompt"], kind["prompt"] - 1], kind


@pytest.mark.swarm
def test_one_shot_answers_without_a_swarm(petals_python: Path, tiny_model: TinyModel) -> None:
    result = run_script(
        petals_python,
        INFERENCE,
        "--local",
        "--model-name",
        str(tiny_model.folder),
        "--prompt",
        tiny_model.question[0]["content"],
        "--max-new-tokens",
        "60",
    )
    assert result.returncode == 0
    assert result.stdout == tiny_model.answer + "\n"


def fatal_error(python: Path, folder: Path) -> dict[str, Any]:
    runner = start_local(python, folder)
    try:
        event = runner.until(lambda event: event["type"] == "error")[-1]
        assert event["fatal"] is True
        assert runner.wait() == 1
        return event
    finally:
        runner.destroy()


@pytest.mark.swarm
def test_a_model_that_does_not_fit_is_not_loaded(
    petals_python: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model.folder, tmp_path / "large")
    tensor = {"dtype": "F16", "shape": [2**20, 2**20], "data_offsets": [0, 2**41]}
    header = json.dumps({"weight": tensor}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    event = fatal_error(petals_python, folder)
    assert event["code"] == "does_not_fit"
    assert "4096.0 for its weights" in event["message"]  # in single precision
    assert "GiB of memory free" in event["message"]


@pytest.mark.swarm
def test_pickled_weights_are_refused(
    petals_python: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model.folder, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    event = fatal_error(petals_python, folder)
    assert event["code"] == "pickled_weights"
    assert "pytorch_model.bin" in event["why"]
    (folder / "pytorch_model.bin").unlink()
    event = fatal_error(petals_python, folder)
    assert (event["code"], event["message"]) == (
        "model_not_found",
        f"{folder} lacks model.safetensors.",
    )


def test_local_is_not_accepted_with_a_swarm() -> None:
    result = run_script(
        sys.executable, INFERENCE, "--model-name", "a/b", "--local", "--dht-prefix=a"
    )
    assert result.returncode == 2
    assert "--local: is not accepted with --initial-peer or --dht-prefix." in result.stderr


@pytest.fixture(scope="module")
def memory() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module("local_memory")
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.mark.parametrize(
    ("files", "membership", "left"),
    [
        (
            {
                "a/memory.max": "1000",
                "a/memory.current": "700",
                "a/memory.stat": "anon 500\ninactive_file 100",
                "a/b/memory.max": "max",
                "memory.max": "max",
            },
            "0::/a/b",
            [400],
        ),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "1100",
                "memory/memory.stat": "total_inactive_file 0",
            },
            "5:cpu:/x\n4:memory:/docker/of-the-host",
            [0],
        ),
        ({}, "0::/", []),
    ],
)
def test_the_limits_of_control_groups_count(
    memory: ModuleType, tmp_path: Path, files: dict[str, str], membership: str, left: list[int]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n", "ascii")
    (tmp_path / "membership").write_text(membership + "\n", "ascii")
    assert memory._left_in_groups(tmp_path, tmp_path / "membership") == left
