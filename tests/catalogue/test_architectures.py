"""Sizes that are read from a config: against published counts, and refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.catalogue import MAIN, RELEASE, demo_info, read_architecture, resolve_model
from torbiz_tui.catalogue.published import PUBLISHED, Published
from torbiz_tui.errors import UsageError
from torbiz_tui.paths import Paths

LLAMA = {"model_type": "llama", "num_hidden_layers": 4}
FALCON = {
    "model_type": "falcon",
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 4,
}


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_counted_parameters_are_the_published_ones(model: Published) -> None:
    counted = model.architecture().parameters
    assert abs(counted - model.published) <= model.published / 100


def test_the_demo_has_the_parameters_that_its_config_adds_up_to() -> None:
    info = demo_info()
    assert info.architecture is not None
    assert info.architecture.parameters == info.parameters


def test_stable_beluga_is_of_70_billion_in_80_blocks_of_1_71_gb() -> None:
    (model,) = (model for model in PUBLISHED if model.name == "petals-team/StableBeluga2")
    built = model.architecture()
    assert built.num_blocks == 80
    # Its card gives the sizes of its files: one for each block, and one for the rest.
    assert round(built.block_parameters * 2 / 1e9, 2) == 1.71
    assert round(built.other_parameters * 2 / 1e9, 2) == 1.05


def test_only_the_main_branch_serves_llama_3_1_and_mixtral() -> None:
    main = {model.name for model in PUBLISHED if model.architecture().channel == MAIN}
    assert main == {
        model.name for model in PUBLISHED if "Llama-3.1" in model.name or "Mixtral" in model.name
    }
    assert all("main branch" in model.info().note for model in PUBLISHED if model.name in main)


def test_names_are_said_once() -> None:
    names = [model.name for model in PUBLISHED]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        ({"multi_query": True}, 4),
        ({"multi_query": False}, 1),
        ({"new_decoder_architecture": True, "num_kv_heads": 2}, 2),
        ({"new_decoder_architecture": True}, 1),
    ],
)
def test_falcon_shares_keys_and_values_in_three_ways(more: dict[str, Any], groups: int) -> None:
    assert read_architecture("x", FALCON | more).key_value_groups == groups


def test_sizes_that_are_left_out_are_those_of_transformers() -> None:
    # LlamaConfig() of transformers is Llama 7B.
    (llama,) = (model for model in PUBLISHED if model.name == "meta-llama/Llama-2-7b-chat-hf")
    built = read_architecture("x", LLAMA | {"num_hidden_layers": 32})
    assert built.parameters == llama.published


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "gpt2"}, "type 'gpt2'"),
        ({"model_type": ["llama"]}, "type"),
        ({"model_type": "x" * 300}, "…"),
        (LLAMA | {"hidden_size": 0}, "hidden_size: 0"),
        (LLAMA | {"hidden_size": "big"}, "hidden_size: 'big'"),
        (LLAMA | {"hidden_size": True}, "hidden_size: True"),
        (LLAMA | {"hidden_size": 10**30}, "hidden_size: 1000"),
        (LLAMA | {"hidden_size": 100, "num_attention_heads": 3}, "divided by 3 heads"),
        (LLAMA | {"num_key_value_heads": 5}, "32 heads cannot share 5"),
        (LLAMA | {"head_dim": 64}, "size of its heads"),
        (LLAMA | {"quantization_config": {"quant_method": "gptq"}}, "quantized already ('gptq')"),
        (LLAMA | {"rope_scaling": {"type": "su", "factor": 2.0}}, "scaled by 'su'"),
        (LLAMA | {"rope_scaling": "linear"}, "scaled by"),
        (
            LLAMA | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
            "rope_parameters",
        ),
        (LLAMA | {"tie_word_embeddings": "no"}, "tie_word_embeddings: 'no'"),
        (FALCON | {"num_ln_in_parallel_attn": 1}, "layer norms"),
        (FALCON | {"ffn_hidden_size": 100}, "four times"),
        (FALCON | {"new_decoder_architecture": True, "num_kv_heads": 3}, "cannot share 3"),
        ({"model_type": "bloom", "n_layer": 2, "n_embed": 9, "n_head": 2}, "divided by 2 heads"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    config: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_architecture("owner/model", config)
    assert caught.value.code == "model_unsupported"
    assert "owner/model" in str(caught.value)
    assert why in f"{caught.value.what} {caught.value.why}"


@pytest.mark.parametrize(
    ("scaling", "channel"),
    [
        (None, RELEASE),
        ({"type": "linear", "factor": 2.0}, RELEASE),
        ({"type": "dynamic", "factor": 2.0}, RELEASE),
        ({"rope_type": "llama3", "factor": 8.0}, MAIN),
        ({"type": "llama3", "factor": 8.0}, MAIN),
        ({"rope_type": "linear", "factor": 2.0}, MAIN),
    ],
)
def test_the_rotary_embedding_decides_on_the_channel(scaling: object, channel: str) -> None:
    assert read_architecture("x", LLAMA | {"rope_scaling": scaling}).channel == channel


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "scaling (Llama 3.1)"),
        ({"mlp_bias": True}, "biases in feed-forward layers"),
        ({"model_type": "mixtral"}, "type mixtral"),
    ],
)
async def test_the_released_petals_says_what_it_cannot_load(
    tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | more))
    with pytest.raises(UsageError, match="needs the main branch of Petals") as caught:
        await resolve_model(str(tmp_path), Paths(tmp_path))
    assert reason in (caught.value.why or "")
    found = await resolve_model(str(tmp_path), Paths(tmp_path), channel=MAIN)
    assert found.channel == MAIN


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_KEYS = st.sampled_from(
    (
        "num_hidden_layers", "n_layer", "hidden_size", "n_embed", "num_attention_heads", "n_head",
        "num_key_value_heads", "num_kv_heads", "intermediate_size", "num_local_experts",
        "vocab_size", "head_dim", "rope_scaling", "rope_parameters", "quantization_config",
        "torch_dtype", "dtype", "bias", "attention_bias", "mlp_bias", "multi_query",
        "new_decoder_architecture", "tie_word_embeddings", "ffn_hidden_size",
    )
)  # fmt: skip


@given(
    st.sampled_from(("llama", "falcon", "bloom", "mixtral")),
    st.dictionaries(_KEYS, st.integers(1, 64) | _JSON, max_size=8),
)
def test_any_config_is_read_or_refused(family: str, values: dict[str, Any]) -> None:
    try:
        built = read_architecture("x", values | {"model_type": family})
    except UsageError:
        return
    assert built.block_parameters > 0
    assert built.attention_heads % built.key_value_groups == 0
    assert built.parameters > built.num_blocks * built.block_parameters
