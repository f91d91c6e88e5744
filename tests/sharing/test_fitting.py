"""How many blocks a request gets on a machine, and what is said of it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from torbiz_tui.catalogue import ModelInfo, demo_info, known_models
from torbiz_tui.config import Config, DockerConfig, PetalsConfig
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.errors import TorbizError
from torbiz_tui.hardware import Gpu, Hardware
from torbiz_tui.paths import Paths
from torbiz_tui.sharing import adapter_sizes, fitting
from torbiz_tui.sharing.fitting import (
    ChosenBlocks,
    choose_blocks,
    computes_on_gpu,
    fit_for,
    fitting_blocks,
)
from torbiz_tui.sharing.request import ShareRequest

GIB = 2**30
NOWHERE = Paths(Path("/nonexistent"))
MODELS = {model.name: model for model in known_models(NOWHERE)}
BELUGA = MODELS["petals-team/StableBeluga2"]
CARD = Gpu("nvidia", "NVIDIA GeForce RTX 3090", 24 * GIB, 22 * GIB, 0)


def pc(free_gib: float, *gpus: Gpu) -> Hardware:
    free = round(free_gib * GIB)
    return Hardware(cores=8, memory=64 * GIB, memory_available=free, gpus=gpus)


def chosen(machine: Hardware, model: ModelInfo = BELUGA, **asked: object) -> ChosenBlocks:
    request = replace(ShareRequest(model.name), **asked)  # type: ignore[arg-type]
    return choose_blocks(request, model, fit_for(request, model, Config(), machine, "native"))


def test_auto_on_a_processor_is_what_fits_and_says_why() -> None:
    got = chosen(pc(16))
    assert got.blocks == "7"
    assert got.note.startswith("16.0 GiB free on this machine's processor, 20% kept back")
    assert got.note.endswith("7 of 80 blocks.")
    assert got.warning == ""
    assert chosen(pc(1000)).blocks == "80"


def adapter(folder: Path, mebibytes: int) -> str:
    """A folder with an adapter that has so many MiB in two bytes a number."""
    folder.mkdir()
    shapes = {"shape": [mebibytes * 2**20 // 2], "dtype": "F32", "data_offsets": [0, 0]}
    header = json.dumps({"model.layers.0.q_proj.lora_A.weight": shapes}).encode()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(struct.pack("<Q", len(header)) + header)
    return str(folder)


def test_adapters_count_as_much_as_is_known_of_them(tmp_path: Path) -> None:
    mine = adapter(tmp_path / "mine", 80 * 300)
    got = chosen(pc(16), petals_options=(f"adapters=acme/unknown {mine}",))
    assert got.blocks == "5"
    assert "a block with its attention cache and 300 MiB of adapters" in got.note
    assert "(without acme/unknown, of unknown size): 5 of 80 blocks." in got.note


@pytest.mark.parametrize("weights", [b"", b"<!DOCTYPE html>", b"\x02\0\0\0\0\0\0\0[]"])
def test_weights_that_are_none_have_no_size(tmp_path: Path, weights: bytes) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    got = chosen(pc(16), petals_options=(f"adapters={tmp_path}",))
    assert f"(without {tmp_path}, of unknown size)" in got.note


async def test_the_size_of_one_at_the_hub_is_what_the_hub_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hub(name: str) -> adapter_sizes._Size | None:
        asked.append(name)
        return adapter_sizes._Size(stored=8_000) if name == "acme/there" else None

    monkeypatch.setattr(adapter_sizes, "_at_hub", hub)
    sizes = adapter_sizes.AdapterSizes()
    names = ("acme/there", "acme/away", "acme/had")
    snapshots = tmp_path / "models--acme--had" / "snapshots"
    snapshots.mkdir(parents=True)
    adapter(snapshots / "commit", 1)
    for _ in range(2):
        await sizes.learn(names, tmp_path)
        beside = sizes.beside_block(names, 8, 2)
        assert (beside.size, beside.unknown) == (1_000 + 2**20 // 8, ("acme/away",))
    assert asked == ["acme/there", "acme/away"]


def test_what_the_form_says_counts_not_the_configuration() -> None:
    assert chosen(pc(16), torch_dtype="float32").blocks == "3"
    assert chosen(pc(16), attn_cache_tokens=128).blocks == "7"


def test_a_gpu_is_left_to_petals() -> None:
    assert chosen(pc(16, CARD)) == ChosenBlocks("auto")
    assert chosen(pc(16, CARD), device="cpu").blocks == "7"


@pytest.mark.parametrize(("blocks", "count"), [("20", 20), ("10:30", 20)])
def test_a_number_that_does_not_fit_is_taken_with_a_warning(blocks: str, count: int) -> None:
    got = chosen(pc(16), blocks=blocks)
    assert got.blocks == blocks
    assert got.warning.startswith(f"{count} blocks take 34.5 GiB, which may not fit")
    assert "7 of 80 blocks" in got.warning
    assert chosen(pc(16), blocks="7").warning == ""


def test_not_one_block_is_refused_unless_wanted_all_the_same() -> None:
    for blocks in ("auto", "1", "0:80"):
        with pytest.raises(
            TorbizError, match="Not one block of petals-team/StableBeluga2"
        ) as caught:
            chosen(pc(2), blocks=blocks)
        assert caught.value.code == "does_not_fit"
        assert "2.0 GiB free" in caught.value.why
    got = chosen(pc(2), anyway=True)
    assert got.blocks == "1"
    assert got.warning.startswith("1 block takes 2.")


def test_the_demo_is_whole_and_tried_everywhere() -> None:
    assert chosen(pc(16), demo_info()) == ChosenBlocks("auto")
    tried = chosen(pc(0.3), demo_info())
    assert tried.blocks == "auto"
    assert "not one block" in tried.warning


@pytest.mark.parametrize(
    ("asked", "hosting", "config", "why"),
    [
        ({"device": "cuda:3"}, "native", Config(), "no NVIDIA GPUs"),
        ({}, "docker", Config(docker=DockerConfig(host="ssh://me@far")), "on another machine"),
    ],
)
async def test_what_is_not_known_is_left_to_petals(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], hosting: str, config: Config, why: str
) -> None:
    monkeypatch.setattr(fitting, "look", lambda _folder: pc(16))
    request = replace(ShareRequest(BELUGA.name), **asked)  # type: ignore[arg-type]
    got = await fitting_blocks(request, BELUGA, config, NOWHERE, hosting)
    assert got.blocks == "auto"
    assert got.note.startswith("It is not known how many blocks fit")
    assert why in got.note
    given = await fitting_blocks(replace(request, blocks="80"), BELUGA, config, NOWHERE, hosting)
    assert given == ChosenBlocks("80")


async def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "look", lambda _folder: pc(64))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    limited = Config(docker=DockerConfig(memory=16 * GIB))
    got = await fitting_blocks(ShareRequest(BELUGA.name), BELUGA, limited, NOWHERE, "docker")
    assert got.blocks == "7"


async def test_a_container_in_a_virtual_machine_has_no_more_memory_than_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "look", lambda _folder: pc(40))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    asked = ShareRequest(BELUGA.name), BELUGA, Config(), NOWHERE, "docker"
    got = await fitting_blocks(*asked, 16 * GIB)
    assert got.blocks == "7"
    assert got.note.startswith("16.0 GiB free on the container engine's virtual machine")
    # An engine on the machine itself tells all of its memory.
    on_linux = await fitting_blocks(*asked, 64 * GIB)
    assert on_linux == await fitting_blocks(*asked)
    assert "this machine's processor" in on_linux.note


@pytest.mark.parametrize(
    ("device", "config", "driver", "expected"),
    [
        ("auto", Config(), "NVIDIA A100", True),
        # What Setup installs does not compute on a card of another maker.
        ("auto", Config(), "", False),
        ("auto", Config(petals=PetalsConfig(torch="cpu")), "NVIDIA A100", False),
        ("cuda:1", Config(), "", True),
    ],
)
def test_whose_use_is_shown_as_that_of_the_server(
    monkeypatch: pytest.MonkeyPatch, device: str, config: Config, driver: str, expected: bool
) -> None:
    monkeypatch.setattr(fitting, "nvidia_gpu", lambda: driver)
    spec = ServerSpec("m", "m", 8, device=device)
    assert computes_on_gpu(spec, config, "native") is expected
    far = replace(config, docker=DockerConfig(host="ssh://me@far"))
    assert not computes_on_gpu(spec, far, "docker")
