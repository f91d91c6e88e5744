"""`models`: the catalogue, one model, and how they fit on a machine."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from torbiz_tui.cli import main
from torbiz_tui.commands import models
from torbiz_tui.errors import TorbizError
from torbiz_tui.hardware import Gpu, Hardware

Capture = pytest.CaptureFixture[str]

GIB = 2**30
CARD = Gpu("nvidia", "NVIDIA GeForce RTX 3090", 24 * GIB, 22 * GIB)
PC = Hardware(cores=16, memory=64 * GIB, memory_available=40 * GIB, disk_free=100 * 10**9)
LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 10,
    "hidden_size": 896,
    "intermediate_size": 2432,
    "num_attention_heads": 14,
    "vocab_size": 1536,
    "torch_dtype": "float16",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hardware], None]:
    def use(found: Hardware) -> None:
        monkeypatch.setattr(models, "look", lambda folder: found)

    # Elsewhere than on Linux another environment hosts, which has no GPU.
    monkeypatch.setenv("TORBIZ_ENVIRONMENT", "native")
    use(PC)
    return use


UseMachine = Callable[[Hardware], None]


def table(text: str) -> dict[str, list[str]]:
    heading, *rows = text.splitlines()
    assert heading.split() == ["MODEL", "SIZE", "FITS", "KIND", "NEEDS"]
    return {row.split()[0]: re.split(r" {2,}", row) for row in rows}


def test_the_catalogue_says_what_fits(home: Path, machine: UseMachine, capsys: Capture) -> None:
    machine(Hardware(16, 64 * GIB, 40 * GIB, gpus=(CARD,)))
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    rows = table(captured.out)
    assert all(len(row) < 80 for row in captured.out.splitlines())
    assert next(iter(rows)) == "torbiz-demo"
    assert "all 8" in rows["torbiz-demo"]
    assert "9 of 80" in rows["petals-team/StableBeluga2"]
    assert rows["meta-llama/Llama-3.1-8B-Instruct"][-1] == "licence, main"
    assert captured.err == (
        "FITS: blocks in 22.0 GiB free on NVIDIA GeForce RTX 3090, 20% kept back"
        " (share.reserve_percent).\n"
    )
    assert not home.exists()


def test_the_settings_of_sharing_hold(
    home: Path, machine: UseMachine, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    machine(Hardware(16, 64 * GIB, 40 * GIB, gpus=(CARD,)))
    monkeypatch.setenv("TORBIZ_SHARE_QUANTIZATION", "nf4")
    monkeypatch.setenv("TORBIZ_SHARE_RESERVE_PERCENT", "10")
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    assert "38 of 80" in table(captured.out)["petals-team/StableBeluga2"]
    assert "10% kept back" in captured.err


def test_json_has_all_of_it(home: Path, machine: UseMachine, capsys: Capture) -> None:
    machine(Hardware(16, 64 * GIB, 40 * GIB, gpus=(CARD,), problems=("a driver hangs.",)))
    assert main(["models", "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert captured.err == ""
    assert answer["machine"]["gpus"][0]["memory_free_bytes"] == 22 * GIB
    assert answer["machine"]["problems"] == ["a driver hangs."]
    (beluga,) = (each for each in answer["models"] if each["name"] == "petals-team/StableBeluga2")
    assert (beluga["num_blocks"], beluga["parameters"]) == (80, 68_976_648_192)
    assert (beluga["kind"], beluga["gated"], beluga["channel"]) == ("chat", False, "release")
    assert beluga["block_bytes"]["bfloat16"] == 1_728_421_888
    fit = beluga["fit"]
    assert (fit["verdict"], fit["blocks"], fit["device"]) == ("part", 9, "cuda")
    assert fit["sentence"].endswith(": 9 of 80 blocks.")
    used = fit["blocks"] * (fit["weights_bytes_per_block"] + fit["cache_bytes_per_block"])
    assert used + fit["fixed_bytes"] <= fit["free_bytes"] * 0.8


def test_a_folder_is_described_after_its_config_was_read(
    home: Path, machine: UseMachine, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(LLAMA))
    assert main(["models", str(tmp_path / "mine")]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["model"] == "mine"
    assert lines["type"] == "llama, 10 blocks, 100M parameters, float16"
    assert lines["here"].startswith("bfloat16, quantization none: 19 MiB of weights and 14 MiB")
    assert lines["fits"].endswith("all 10 blocks.")
    assert "download" not in lines


def test_what_cannot_be_served_is_refused_with_the_reason(
    home: Path, machine: UseMachine, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"model_type": "gpt2"}))
    assert main(["models", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "It is of type 'gpt2'." in captured.err
    assert "llama, falcon, bloom, mixtral" in captured.err


def test_a_model_of_the_main_branch_is_described_and_not_refused(
    home: Path, machine: UseMachine, tmp_path: Path, capsys: Capture
) -> None:
    scaled = LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    (tmp_path / "config.json").write_text(json.dumps(scaled))
    assert main(["models", str(tmp_path)]) == 0
    assert "needs       the main branch of Petals\n" in capsys.readouterr().out


def test_without_the_hub_the_catalogue_has_the_facts(
    home: Path, machine: UseMachine, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async def unreachable(*_arguments: object) -> dict[str, object]:
        raise TorbizError("The model hub cannot be reached.", code="hub_unreachable")

    monkeypatch.setattr("torbiz_tui.catalogue.resolving.hub_config", unreachable)
    assert main(["models", "petals-team/StableBeluga2"]) == 0
    captured = capsys.readouterr()
    assert "type        llama, 80 blocks, 69B parameters" in captured.out
    assert "The model hub cannot be reached. These are the facts of the catalogue." in captured.err
    assert main(["models", "acme/unknown"]) == 1
    assert capsys.readouterr().out == ""


def test_what_is_not_known_of_the_machine_is_said(
    home: Path, machine: UseMachine, capsys: Capture
) -> None:
    unseen = Gpu("nvidia", "NVIDIA H100", None, None)
    machine(Hardware(16, 64 * GIB, 40 * GIB, gpus=(unseen,), problems=("nvidia-smi hangs.",)))
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    assert "? of 22" in table(captured.out)["TinyLlama/TinyLlama-1.1B-Chat-v1.0"]
    assert captured.err == (
        "torbiz-tui: nvidia-smi hangs.\n"
        "FITS: it is not known how much memory is free on NVIDIA H100.\n"
    )


def test_a_device_that_is_not_there_is_said(
    home: Path, machine: UseMachine, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("TORBIZ_SHARE_DEVICE", "cuda:1")
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    assert "? of 8" in table(captured.out)["torbiz-demo"]
    assert "There is no device cuda:1. This machine shows no NVIDIA GPUs." in captured.err


def test_a_refused_model_does_not_wait_for_the_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    released = threading.Event()

    def hang(folder: Path) -> Hardware:
        released.wait(60)
        return PC

    monkeypatch.setattr(models, "look", hang)
    try:
        assert main(["models", str(tmp_path / "nothing")]) == 2
    finally:
        released.set()
    assert "There is no model in" in capsys.readouterr().err
