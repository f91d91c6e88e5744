"""How a model is built, read from its config.json: its blocks, and what each of them holds.

Parameters are counted as transformers builds the blocks (its `modeling_*.py` of 4.34.1, Mixtral's of
4.43), and key/value groups as Petals counts them for its attention cache (`petals/models/*/config.py`).
Sizes that a config leaves out have the values that transformers gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torbiz_tui.errors import UsageError

RELEASE = "release"
MAIN = "main"
"""The channels of Petals: what PyPI has, and the main branch of its repository."""

_LARGEST = 10**7
_NUMBER_FORMATS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Architecture:
    """What of a model matters for serving it; parameters are counts.

    `key_value_groups` says how many heads share a key and a value in Petals' attention cache.
    `other_parameters` are those outside of the blocks, which the client holds. `torch_dtype` is the
    checkpoint's number format, or `auto`. `channel` is the least that Petals must be, and
    `channel_reason` what the released one cannot load.
    """

    family: str
    num_blocks: int
    hidden_size: int
    attention_heads: int
    key_value_groups: int
    block_parameters: int
    other_parameters: int
    torch_dtype: str = "auto"
    channel: str = RELEASE
    channel_reason: str = ""

    @property
    def parameters(self) -> int:
        """All parameters of the model."""
        return self.num_blocks * self.block_parameters + self.other_parameters


class _Config:
    """A config.json whose numbers are checked when they are read."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self.name = name
        self.values = values

    def size(self, *keys: str, default: int = 0) -> int:
        """The first of these keys that is there. Raises UsageError when it is no size."""
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
                raise refused(self.name, f"Its config says {key}: {_short(value)}.")
            return value
        if not default:
            raise UsageError(
                f"The config of {self.name} does not say how many blocks it has.",
                remedy=f"It must have {keys[0]}, a positive number.",
                code="model_unsupported",
            )
        return default

    def flag(self, key: str, default: bool) -> bool:
        """A switch. Raises UsageError when it is none."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise refused(self.name, f"Its config says {key}: {_short(value)}.")
        return value


def read_architecture(name: str, config: Mapping[str, Any]) -> Architecture:
    """How the model called `name` is built.

    Raises UsageError (`model_unsupported`) when neither channel of Petals can serve it.
    """
    family = config.get("model_type")
    reader = _FAMILIES.get(family) if isinstance(family, str) else None
    if reader is None:
        raise UsageError(
            f"Petals cannot serve {name}.",
            why=f"It is of type {_short(family or 'none')}.",
            remedy=f"Petals serves the types {', '.join(_FAMILIES)} (the last in its main branch).",
            code="model_unsupported",
        )
    quantized = config.get("quantization_config")
    if isinstance(quantized, dict):
        method = _short(quantized.get("quant_method", "unknown"))
        raise refused(name, f"Its weights are quantized already ({method}); Petals does it itself.")
    return reader(_Config(name, config))


def refused(name: str, why: str) -> UsageError:
    """That Petals cannot serve a model of a family that it knows, and why."""
    return UsageError(
        f"Petals cannot serve {name}.",
        why=why,
        remedy="Choose another model.",
        code="model_unsupported",
    )


def _llama(config: _Config) -> Architecture:
    blocks = config.size("num_hidden_layers")
    hidden, heads, shared = _heads(config, 4096, 32)
    intermediate = config.size("intermediate_size", default=11008)
    reason = "" if _has_plain_rope(config) else "rotary embedding scaling (Llama 3.1)"
    key_value = hidden // heads * shared
    attention = 2 * hidden * hidden + 2 * hidden * key_value
    if config.flag("attention_bias", False):
        attention += 2 * hidden + 2 * key_value
    feed_forward = 3 * hidden * intermediate
    if config.flag("mlp_bias", False):
        feed_forward += 2 * intermediate + hidden
        reason = reason or "biases in feed-forward layers"
    return Architecture(
        family="llama",
        num_blocks=blocks,
        hidden_size=hidden,
        attention_heads=heads,
        key_value_groups=heads // shared,
        block_parameters=attention + feed_forward + 2 * hidden,
        other_parameters=_embeddings(config, 32_000, hidden, tied=False) + hidden,
        torch_dtype=_number_format(config),
        channel=MAIN if reason else RELEASE,
        channel_reason=reason,
    )


def _mixtral(config: _Config) -> Architecture:
    blocks = config.size("num_hidden_layers")
    hidden, heads, shared = _heads(config, 4096, 32, default_shared=8)
    intermediate = config.size("intermediate_size", default=14336)
    experts = config.size("num_local_experts", default=8)
    _has_plain_rope(config)
    attention = 2 * hidden * hidden + 2 * hidden * (hidden // heads) * shared
    expert = 3 * hidden * intermediate
    return Architecture(
        family="mixtral",
        num_blocks=blocks,
        hidden_size=hidden,
        attention_heads=heads,
        # Petals' main branch limits Mixtral's cache as if every head had its own key and value.
        key_value_groups=1,
        block_parameters=attention + experts * expert + hidden * experts + 2 * hidden,
        other_parameters=_embeddings(config, 32_000, hidden, tied=False) + hidden,
        torch_dtype=_number_format(config),
        channel=MAIN,
        channel_reason="type mixtral",
    )


def _falcon(config: _Config) -> Architecture:
    blocks = config.size("num_hidden_layers")
    hidden = config.size("hidden_size", "n_embed", default=4544)
    heads = config.size("num_attention_heads", default=71)
    if hidden % heads:
        raise refused(config.name, f"Its {hidden} channels cannot be divided by {heads} heads.")
    if config.values.get("num_ln_in_parallel_attn") not in (None, 2):
        raise refused(config.name, "Its blocks have other layer norms than Petals' Falcon.")
    if config.size("ffn_hidden_size", default=4 * hidden) != 4 * hidden:
        raise refused(config.name, "Its feed-forward layers are not four times the hidden size.")
    new = config.flag("new_decoder_architecture", False)
    if new:
        shared = config.size("num_kv_heads", default=heads)
    else:
        shared = 1 if config.flag("multi_query", True) else heads
    if heads % shared:
        raise refused(config.name, f"{heads} heads cannot share {shared} keys and values.")
    width = hidden // heads * (heads + 2 * shared)
    weights = hidden * width + hidden * hidden + 8 * hidden * hidden
    if config.flag("bias", False):
        weights += width + 6 * hidden
    norms = 2 if new or not config.flag("parallel_attn", True) else 1
    return Architecture(
        family="falcon",
        num_blocks=blocks,
        hidden_size=hidden,
        attention_heads=heads,
        key_value_groups=heads // shared,
        block_parameters=weights + norms * 2 * hidden,
        # transformers ties them, yet the published files hold both.
        other_parameters=_embeddings(config, 65_024, hidden, tied=False) + 2 * hidden,
        torch_dtype=_number_format(config),
    )


def _bloom(config: _Config) -> Architecture:
    blocks = config.size("n_layer", "num_hidden_layers")
    hidden = config.size("hidden_size", "n_embed", default=64)
    heads = config.size("n_head", "num_attention_heads", default=8)
    if hidden % heads:
        raise refused(config.name, f"Its {hidden} channels cannot be divided by {heads} heads.")
    return Architecture(
        family="bloom",
        num_blocks=blocks,
        hidden_size=hidden,
        attention_heads=heads,
        key_value_groups=1,
        block_parameters=12 * hidden * hidden + 13 * hidden,
        other_parameters=_embeddings(config, 250_880, hidden, tied=True) + 4 * hidden,
        torch_dtype=_number_format(config),
    )


_FAMILIES = {"llama": _llama, "falcon": _falcon, "bloom": _bloom, "mixtral": _mixtral}


def _heads(
    config: _Config, default_hidden: int, default_heads: int, default_shared: int = 0
) -> tuple[int, int, int]:
    """The hidden size, the heads, and the keys and values that these share."""
    hidden = config.size("hidden_size", default=default_hidden)
    heads = config.size("num_attention_heads", default=default_heads)
    shared = config.size("num_key_value_heads", default=default_shared or heads)
    if hidden % heads:
        raise refused(config.name, f"Its {hidden} channels cannot be divided by {heads} heads.")
    if heads % shared:
        raise refused(config.name, f"{heads} heads cannot share {shared} keys and values.")
    # Petals' attention cache takes the size of a head for granted.
    if config.size("head_dim", default=hidden // heads) != hidden // heads:
        raise refused(config.name, "The size of its heads is not hidden_size by heads.")
    return hidden, heads, shared


def _embeddings(config: _Config, default_words: int, hidden: int, *, tied: bool) -> int:
    once = config.size("vocab_size", default=default_words) * hidden
    return once if config.flag("tie_word_embeddings", tied) else 2 * once


def _has_plain_rope(config: _Config) -> bool:
    """Whether the released Petals has the rotary embedding.

    Raises UsageError when its main branch does not have it either.
    """
    scaling = config.values.get("rope_scaling")
    if scaling is None:
        renewed = config.values.get("rope_parameters")
        if isinstance(renewed, dict) and set(renewed) - {"rope_type"}:
            # The transformers that Petals needs pass it over in silence: wrong answers, no error.
            raise refused(
                config.name, "Its config has rope_parameters, which Petals' transformers ignores."
            )
        return True
    kind = scaling.get("rope_type", scaling.get("type")) if isinstance(scaling, dict) else None
    if kind in ("linear", "dynamic") and "type" in scaling:
        return True
    if kind in ("llama3", "linear", "dynamic", "yarn", "longrope", "default"):
        return False
    raise refused(config.name, f"Its rotary embedding is scaled by {_short(kind)}.")


def _number_format(config: _Config) -> str:
    value = config.values.get("torch_dtype", config.values.get("dtype"))
    return value if value in _NUMBER_FORMATS else "auto"


def _short(value: object) -> str:
    """A value of a file from elsewhere, in a length and in characters that can be shown."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
