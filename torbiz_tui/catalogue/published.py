"""The models of the hub that Petals is known to serve: facts, each with where it was published.

`config` are the sizes in the model's own config.json. `published` is the count of parameters that
its owner or the hub states; the tests compare it with what the config adds up to. `published_at`
says where. docs/models.md tells what could not be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torbiz_tui.catalogue.architecture import Architecture, read_architecture
from torbiz_tui.catalogue.model_info import ModelInfo, with_channel


@dataclass(frozen=True)
class Published:
    """One model as its owner has published it; `note` is for people."""

    name: str
    config: Mapping[str, Any]
    published: int
    published_at: str
    kind: str
    licence: str
    gated: bool = False
    note: str = ""

    def architecture(self) -> Architecture:
        """How it is built, from its sizes."""
        return read_architecture(self.name, self.config)

    def info(self) -> ModelInfo:
        """The model as the catalogue lists it."""
        built = self.architecture()
        return ModelInfo(
            name=self.name,
            source=self.name,
            model_type=built.family,
            num_blocks=built.num_blocks,
            torch_dtype=built.torch_dtype,
            note=with_channel(self.note, built.channel),
            parameters=built.parameters,
            kind=self.kind,
            licence=self.licence,
            gated=self.gated,
            channel=built.channel,
            architecture=built,
        )


def _llama(
    blocks: int,
    hidden: int,
    intermediate: int,
    heads: int,
    shared: int,
    torch_dtype: str,
    **others: object,
) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "num_hidden_layers": blocks,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "vocab_size": 32_000,
        "torch_dtype": torch_dtype,
    } | others


def _falcon(blocks: int, hidden: int, heads: int, **others: object) -> dict[str, Any]:
    return {
        "model_type": "falcon",
        "num_hidden_layers": blocks,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "bias": False,
        "parallel_attn": True,
        "vocab_size": 65_024,
        "torch_dtype": "bfloat16",
    } | others


def _bloom(blocks: int, hidden: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "bloom",
        "n_layer": blocks,
        "hidden_size": hidden,
        "n_head": heads,
        "vocab_size": 250_880,
    }


def _mixtral(blocks: int, hidden: int, intermediate: int, heads: int, words: int) -> dict[str, Any]:
    return {
        "model_type": "mixtral",
        "num_hidden_layers": blocks,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "vocab_size": words,
        "torch_dtype": "bfloat16",
    }


_LLAMA_2_7B = _llama(32, 4096, 11_008, 32, 32, "float16")
_LLAMA_2_13B = _llama(40, 5120, 13_824, 40, 40, "float16")
_LLAMA_2_70B = _llama(80, 8192, 28_672, 64, 8, "float16")
_LLAMA_3_1 = {
    "vocab_size": 128_256,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
}
_FALCON_40B = _falcon(60, 8192, 128, num_kv_heads=8, new_decoder_architecture=True)
_FALCON_180B = _falcon(80, 14_848, 232, num_kv_heads=8, new_decoder_architecture=True)
_BLOOM_7B1 = _bloom(30, 4096, 32)
_BLOOM_176B = _bloom(70, 14_336, 112)

_HUB = "safetensors.total of huggingface.co/api/models/"
_BLOOM_LICENCE = "bigscience-bloom-rail-1.0"

PUBLISHED = (
    Published(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        _llama(22, 2048, 5632, 32, 4, "bfloat16"),
        1_100_048_384,
        f"{_HUB}TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "chat",
        "apache-2.0",
        note="small chat model",
    ),
    Published(
        "petals-team/StableBeluga2",
        # The card: Llama 2 70B, stored as bfloat16, 1.71 GB for each of its blocks.
        _LLAMA_2_70B | {"torch_dtype": "bfloat16"},
        68_976_648_192,
        "the parameters of Llama 2 70B, of which it is a fine-tune",
        "chat",
        "see its page",
        note="70B chat model",
    ),
    Published(
        "meta-llama/Llama-2-7b-chat-hf",
        _LLAMA_2_7B,
        6_738_415_616,
        f"{_HUB}meta-llama/Llama-2-7b-hf",
        "chat",
        "llama2",
        gated=True,
        note="7B chat model",
    ),
    Published(
        "meta-llama/Llama-2-13b-chat-hf",
        _LLAMA_2_13B,
        13_015_864_320,
        f"{_HUB}meta-llama/Llama-2-13b-hf",
        "chat",
        "llama2",
        gated=True,
        note="13B chat model",
    ),
    Published(
        "meta-llama/Llama-2-70b-chat-hf",
        _LLAMA_2_70B,
        68_976_648_192,
        f"{_HUB}meta-llama/Llama-2-70b-hf",
        "chat",
        "llama2",
        gated=True,
        note="70B chat model",
    ),
    Published(
        "meta-llama/Llama-2-70b-hf",
        _LLAMA_2_70B,
        68_976_648_192,
        f"{_HUB}meta-llama/Llama-2-70b-hf",
        "base",
        "llama2",
        gated=True,
        note="70B base model",
    ),
    Published(
        "codellama/CodeLlama-34b-Instruct-hf",
        _llama(48, 8192, 22_016, 64, 8, "bfloat16"),
        33_743_970_304,
        "the count of Phind-CodeLlama-34B, a fine-tune of it",
        "chat",
        "llama2",
        note="34B model for code",
    ),
    Published(
        "huggyllama/llama-65b",
        _llama(80, 8192, 22_016, 64, 64, "float16"),
        65_285_660_672,
        "arXiv 2302.13971 says 65.2B; this count is of the same weights loaded",
        "base",
        "see its page",
        note="65B base model",
    ),
    Published(
        "tiiuae/falcon-7b-instruct",
        _falcon(32, 4544, 71, multi_query=True),
        7_217_189_760,
        f"{_HUB}tiiuae/falcon-7b-instruct",
        "instruct",
        "apache-2.0",
        note="7B instruction model",
    ),
    Published(
        "tiiuae/falcon-40b-instruct",
        _FALCON_40B,
        41_835_970_560,
        f"{_HUB}tiiuae/falcon-40b-instruct",
        "instruct",
        "apache-2.0",
        note="40B instruction model",
    ),
    Published(
        "tiiuae/falcon-180B-chat",
        _FALCON_180B,
        179_522_565_120,
        f"{_HUB}tiiuae/falcon-180B",
        "chat",
        "falcon-180b",
        gated=True,
        note="180B chat model",
    ),
    Published(
        "tiiuae/falcon-180B",
        _FALCON_180B,
        179_522_565_120,
        f"{_HUB}tiiuae/falcon-180B",
        "base",
        "falcon-180b",
        gated=True,
        note="180B base model",
    ),
    Published(
        "bigscience/bloomz-560m",
        _bloom(24, 1024, 16) | {"torch_dtype": "float16"},
        559_214_592,
        f"{_HUB}bigscience/bloomz-560m",
        "instruct",
        _BLOOM_LICENCE,
        note="small multilingual model",
    ),
    Published(
        "bigscience/bloomz-7b1",
        _BLOOM_7B1,
        7_069_016_064,
        "the card of bigscience/bloom-7b1",
        "instruct",
        _BLOOM_LICENCE,
        note="7B multilingual model",
    ),
    Published(
        "bigscience/bloomz",
        _BLOOM_176B,
        176_247_271_424,
        "the card of bigscience/bloom",
        "instruct",
        _BLOOM_LICENCE,
        note="176B multilingual model",
    ),
    Published(
        "bigscience/bloom",
        _BLOOM_176B,
        176_247_271_424,
        "the card of bigscience/bloom",
        "base",
        _BLOOM_LICENCE,
        note="176B multilingual base model",
    ),
    Published(
        "meta-llama/Llama-3.1-8B-Instruct",
        _llama(32, 4096, 14_336, 32, 8, "bfloat16", **_LLAMA_3_1),
        8_030_261_248,
        f"{_HUB}meta-llama/Llama-3.1-8B",
        "chat",
        "llama3.1",
        gated=True,
        note="8B chat model",
    ),
    Published(
        "meta-llama/Llama-3.1-70B-Instruct",
        _llama(80, 8192, 28_672, 64, 8, "bfloat16", **_LLAMA_3_1),
        70_553_706_496,
        f"{_HUB}meta-llama/Llama-3.1-70B",
        "chat",
        "llama3.1",
        gated=True,
        note="70B chat model",
    ),
    Published(
        "meta-llama/Llama-3.1-405B-Instruct",
        _llama(126, 16_384, 53_248, 128, 8, "bfloat16", **_LLAMA_3_1),
        405_853_388_800,
        f"{_HUB}meta-llama/Llama-3.1-405B",
        "chat",
        "llama3.1",
        gated=True,
        note="405B chat model",
    ),
    Published(
        "mistralai/Mixtral-8x7B-Instruct-v0.1",
        _mixtral(32, 4096, 14_336, 32, 32_000),
        46_702_792_704,
        f"{_HUB}mistralai/Mixtral-8x7B-Instruct-v0.1",
        "chat",
        "apache-2.0",
        gated=True,
        note="47B chat model of 8 experts",
    ),
    Published(
        "mistralai/Mixtral-8x22B-Instruct-v0.1",
        _mixtral(56, 6144, 16_384, 48, 32_768),
        140_630_071_296,
        f"{_HUB}mistralai/Mixtral-8x22B-Instruct-v0.1",
        "chat",
        "apache-2.0",
        gated=True,
        note="141B chat model of 8 experts",
    ),
)
