"""Adapters that Petals would compute wrongly, or not at all, are refused before it is imported."""

from __future__ import annotations

import contextlib
import importlib
import json
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from .runner_process import SCRIPTS

CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
LLAMA = SimpleNamespace(model_type="llama", hidden_size=64)
FALCON = SimpleNamespace(model_type="falcon", hidden_size=64)


@pytest.fixture
def lora(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("lora_adapters")


def adapter(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    return folder


def write_weights(folder: Path, *layers: str, hidden: int = 64) -> None:
    """Weights for these layers, of which nothing but their shapes is looked at here."""
    shapes = {f"base_model.model.{layer}.lora_A.weight": [4, hidden] for layer in layers}
    header = json.dumps({key: {"shape": shape} for key, shape in shapes.items()}).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.fixture
def peft(lora: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Petals' module: of each layer of a block, `given` gets the weights that Petals takes for it."""
    given: dict[str, list[str]] = {}

    def add(block: list[str], _index: int, _name: str, config: Any, weights: Any) -> None:
        for layer in set(block) & set(config["target_modules"]):
            given[layer] = [key for key in weights if layer in key]  # as petals 2.2.0 compares

    def load(_block: int, file: str, device: str) -> bytes:
        return Path(file).read_bytes()

    module = SimpleNamespace(add_adapter_to_block=add, load_specific_module=load, given=given)
    monkeypatch.setattr(lora, "_import_peft", lambda: module)
    cache: Any = SimpleNamespace(allow_cache_reads=contextlib.nullcontext)
    monkeypatch.setitem(sys.modules, "petals.utils.disk_cache", cache)
    return module


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"peft_type": "IA3"}, "of the type IA3"),
        ({"bias": "all"}, "biases"),
        ({"use_dora": True, "rank_pattern": {"q_proj": 2}}, "use_dora, rank_pattern"),
        ({"r": None}, "no rank"),
        ({}, "no adapter_model.safetensors"),
    ],
)
def test_an_adapter_that_petals_does_not_compute_is_refused(
    lora: ModuleType, tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    folder = adapter(tmp_path / "mine", **config)
    with pytest.raises(lora.ModelError) as refused:
        lora.load_adapters([str(folder)], None, LLAMA)
    assert "The adapter mine cannot be loaded" in str(refused.value)
    assert words in str(refused.value)


def test_two_adapters_of_one_name_are_refused(lora: ModuleType, tmp_path: Path) -> None:
    folders = [str(adapter(tmp_path / place / "mine")) for place in ("a", "b")]
    with pytest.raises(lora.ModelError, match="has the name mine too"):
        lora.load_adapters(folders, None, LLAMA)


def test_a_name_that_torch_takes_for_no_module_is_refused_before_a_download(
    lora: ModuleType,
) -> None:
    with pytest.raises(lora.ModelError, match="no name with a dot"):
        lora.load_adapters(["owner/lora-v1.5"], None, LLAMA)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("model.decoder.layers.3.self_attn.qkv_proj", "changes qkv_proj"),
        ("transformer.h.3.self_attention.query_key_value", "nothing in blocks of the type llama"),
        ("lm_head", "nothing in blocks"),
    ],
)
def test_an_adapter_of_another_architecture_is_refused(
    lora: ModuleType, tmp_path: Path, layer: str, words: str
) -> None:
    write_weights(adapter(tmp_path / "mine"), layer)
    with pytest.raises(lora.ModelError, match=words):
        lora.load_adapters([str(tmp_path / "mine")], None, LLAMA)


def test_an_adapter_of_another_size_and_a_damaged_one_are_refused(
    lora: ModuleType, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "mine")
    write_weights(folder, "model.layers.3.self_attn.q_proj", hidden=128)
    with pytest.raises(lora.ModelError, match="hidden size of 64"):
        lora.load_adapters([str(folder)], None, LLAMA)
    (folder / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(lora.ModelError, match="is damaged"):
        lora.load_adapters([str(folder)], None, LLAMA)


def test_a_layer_gets_its_own_weights_where_its_name_is_a_part_of_anothers(
    lora: ModuleType, peft: SimpleNamespace, tmp_path: Path
) -> None:
    paths = ("self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    layers = [f"transformer.h.1.{path}" for path in paths]
    # peft takes the ends of paths, and expressions, for names too.
    folder = adapter(tmp_path / "mine", target_modules=".*(dense|dense_h_to_4h|dense_4h_to_h)")
    write_weights(folder, *layers)
    assert lora.load_adapters([str(folder)], None, FALCON) == ("mine",)
    config, _ = peft.load_peft("mine", block_idx=1, cache_dir=str(tmp_path))
    block = [path.partition(".")[2] for path in paths]
    peft.add_adapter_to_block(block, 1, "mine", config, {f"{one}.lora_A": 0 for one in layers})
    assert peft.given == {
        layer: [f"{path}.lora_A"] for layer, path in zip(block, layers, strict=True)
    }


def test_an_adapter_that_made_room_for_blocks_is_downloaded_again(
    lora: ModuleType, peft: SimpleNamespace, tmp_path: Path
) -> None:
    class Download:
        folder = adapter(tmp_path / "snapshot")

        def ensure_named(self, required: str, others: Any) -> None:
            write_weights(self.folder, "model.layers.3.self_attn.q_proj")

    lora.load_adapters(["owner/lora"], lambda _name: Download(), LLAMA)
    (Download.folder / "adapter_model.safetensors").unlink()
    _, weights = peft.load_peft("owner/lora", block_idx=3, cache_dir=str(tmp_path))
    assert weights
