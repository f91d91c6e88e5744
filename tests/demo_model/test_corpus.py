"""The corpus of the demo model is sound, and the shipped model was trained on it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL_DIR = ROOT / "runner_scripts" / "demo_model"
TRAINING_DIR = ROOT / "runner_scripts" / "demo_training"
SHIPPED = (
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def _load() -> ModuleType:
    # The scripts are no package; a name of its own keeps `corpus` free for others.
    spec = importlib.util.spec_from_file_location(
        "demo_training_corpus", TRAINING_DIR / "corpus.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


corpus_module = _load()
normalise = corpus_module.normalise
CORPUS = corpus_module.load_corpus()
ENTRIES = pytest.mark.parametrize("entry", CORPUS.entries, ids=lambda e: str(e.id))


@ENTRIES
def test_every_answer_has_enough_questions(entry: Any) -> None:
    assert len(entry.trained) >= 6
    assert len(entry.held_out) >= 1


@ENTRIES
def test_no_held_out_paraphrase_equals_a_trained_variant(entry: Any) -> None:
    trained = {normalise(q) for q in entry.trained}
    assert not [q for q in entry.held_out if normalise(q) in trained]


def test_no_question_stands_twice() -> None:
    scope = CORPUS.out_of_scope
    questions = [q for e in CORPUS.entries for q in (*e.trained, *e.held_out)]
    questions += [*scope.trained, *scope.held_out]
    counted = Counter(normalise(q) for q in questions)
    assert [q for q, times in counted.items() if times > 1] == []


def test_fresh_questions_are_not_trained() -> None:
    scope = CORPUS.out_of_scope
    trained = {normalise(q) for e in CORPUS.entries for q in e.trained}
    trained |= {normalise(q) for q in scope.trained}
    fresh = corpus_module.load_fresh(CORPUS)
    assert len(fresh) >= 50
    assert [q for q, _ in fresh if normalise(q) in trained] == []


def test_answers_differ() -> None:
    answers = [e.answer for e in CORPUS.entries] + [CORPUS.out_of_scope.answer]
    assert len(set(answers)) == len(answers)


def test_out_of_scope_has_questions_of_both_kinds() -> None:
    scope = CORPUS.out_of_scope
    assert len(scope.trained) >= 100
    assert len(scope.held_out) >= 30


def test_templates_name_only_slots_that_exist() -> None:
    scope = CORPUS.out_of_scope
    for template in scope.templates:
        template.format(**{name: values[0] for name, values in scope.slots.items()})


def test_answers_show_markdown_and_multibyte_text() -> None:
    answers = [e.answer for e in CORPUS.entries]
    assert any("\n- " in a for a in answers)
    assert any("\n1. " in a for a in answers)
    assert any("```" in a for a in answers)
    assert any("\u2013" in a for a in answers)
    assert max(len(a) for a in answers) > 700


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("What is a swarm?", "what is a swarm"),
        ("  WHAT  is a Swarm", "what is a swarm"),
        ("Málaga?", "malaga"),
        ("???", "???"),
        ("--blocks 0:4", "blocks 0 4"),
    ],
)
def test_normalise(question: str, form: str) -> None:
    assert normalise(question) == form


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_file_exists(name: str) -> None:
    assert (MODEL_DIR / name).stat().st_size > 0


def test_weights_are_small_enough_to_ship() -> None:
    assert (MODEL_DIR / "model.safetensors").stat().st_size < 8_000_000


def test_model_was_trained_on_this_corpus() -> None:
    config = json.loads((MODEL_DIR / "config.json").read_text(encoding="utf-8"))
    assert config["demo_corpus_sha256"] == CORPUS.sha256, (
        "the corpus changed after the model was trained: run runner_scripts/demo_training/train.py"
    )


def test_model_card_names_this_corpus() -> None:
    card = (MODEL_DIR / "README.md").read_text(encoding="utf-8")
    assert CORPUS.sha256[:12] in card


def test_model_can_be_split_over_servers() -> None:
    config = json.loads((MODEL_DIR / "config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] >= 8
    assert config["num_key_value_heads"] == config["num_attention_heads"]
    assert config["max_position_embeddings"] == 2048


def test_tokenizer_brings_a_chat_template() -> None:
    config = json.loads((MODEL_DIR / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    for role in ("system", "user", "assistant"):
        assert f"<|{role}|>" in config["chat_template"]
    assert "add_generation_prompt" in config["chat_template"]
