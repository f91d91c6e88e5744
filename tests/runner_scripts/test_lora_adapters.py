"""Adapters that Petals would compute wrongly, or not at all, are refused before it is imported."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .runner_process import SCRIPTS

CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


@pytest.fixture
def lora(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("lora_adapters")


def adapter(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    return folder


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
        lora.load_adapters([str(folder)], None)
    assert "The adapter mine cannot be loaded" in str(refused.value)
    assert words in str(refused.value)


def test_two_adapters_of_one_name_are_refused(lora: ModuleType, tmp_path: Path) -> None:
    folders = [str(adapter(tmp_path / place / "mine")) for place in ("a", "b")]
    with pytest.raises(lora.ModelError, match="has the name mine too"):
        lora.load_adapters(folders, None)
