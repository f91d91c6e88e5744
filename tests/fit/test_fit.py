"""How many blocks fit: Petals' own numbers, the choice of the device, and the words for it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.catalogue import Architecture, ModelInfo, demo_info, known_models
from torbiz_tui.config import Config, DockerConfig, PetalsConfig, ShareConfig
from torbiz_tui.errors import UsageError
from torbiz_tui.fit import (
    DTYPE_BYTES,
    Place,
    block_bytes,
    choose_place,
    configured_fit,
    configured_place,
    fit_of,
    memory_text,
    needs_of,
    served_dtype,
)
from torbiz_tui.hardware import Gpu, Hardware
from torbiz_tui.paths import Paths

MIB, GIB = 2**20, 2**30
MODELS = {model.name: model for model in known_models(Paths(Path("/nonexistent")))}
BELUGA = MODELS["petals-team/StableBeluga2"]
BIG_CARD = Gpu("nvidia", "NVIDIA GeForce RTX 3090", 24 * GIB, 22 * GIB, 0)
SMALL_CARD = Gpu("nvidia", "NVIDIA GeForce GTX 1660", 6 * GIB, 5 * GIB, 1)
RADEON = Gpu("amd", "Radeon RX 7900 XTX", 24 * GIB, 24 * GIB)
MAC = Gpu("apple", "Apple M2 Max", 64 * GIB, 40 * GIB, unified=True)
PC = Hardware(cores=16, memory=64 * GIB, memory_available=40 * GIB, gpus=(BIG_CARD, SMALL_CARD))


def built(name: str) -> Architecture:
    architecture = MODELS[name].architecture
    assert architecture is not None
    return architecture


# get_block_size(config, "memory", dtype=torch.bfloat16, quant_type=NONE) of petals 2.2.0.post1.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", 88_969_462),
        ("petals-team/StableBeluga2", 1_728_421_888),
        ("meta-llama/Llama-2-13b-chat-hf", 640_753_050),
        ("codellama/CodeLlama-34b-Instruct-hf", 1_397_994_619),
        ("huggyllama/llama-65b", 1_635_224_453),
        ("tiiuae/falcon-7b-instruct", 418_281_562),
        ("tiiuae/falcon-40b-instruct", 1_372_610_232),
        ("tiiuae/falcon-180B-chat", 4_484_187_464),
        ("bigscience/bloomz-560m", 25_444_372),
        ("bigscience/bloomz", 4_982_202_982),
        ("meta-llama/Llama-3.1-405B-Instruct", 6_439_161_692),
    ],
)
def test_a_block_is_as_large_as_petals_says(name: str, size: int) -> None:
    sizes = block_bytes(built(name))
    assert sizes["bfloat16"] == sizes["float16"] == size
    assert sizes["float32"] == pytest.approx(2 * size, abs=1)
    assert sizes["int8"] == pytest.approx(size / 2, abs=1)
    assert sizes["nf4"] == pytest.approx(size * 4.25 / 16, abs=1)


def test_the_attention_cache_is_as_large_as_petals_says() -> None:
    # 16384 tokens of 1024 keys and as many values: the 64 heads share 8.
    shared = needs_of(built("petals-team/StableBeluga2"), "cuda")
    assert shared.cache_per_block == 2 * 1024 * 16384 * 2
    # 4096 tokens of 5120 keys and values.
    own = needs_of(built("meta-llama/Llama-2-13b-chat-hf"), "cuda")
    assert own.cache_per_block == 2 * 5120 * 4096 * 2
    asked = needs_of(built("meta-llama/Llama-2-13b-chat-hf"), "cuda", cache_tokens=1000)
    assert asked.cache_per_block == 2 * 5120 * 1000 * 2


# MiB that `benchmarks/share.py` measured on 2 cores (Linux x86_64, Python 3.11, torch 2.13): of all
# processes of a server whose attention cache is full, and at their highest, in a prompt of 2032 tokens.
@pytest.mark.parametrize(
    ("architecture", "measured"),
    [
        (demo_info().architecture, {1: (552, 748), 4: (567, 780), 8: (589, 791)}),
        # The random Llama of 99 million parameters that `make_models.py` writes.
        (
            Architecture("llama", 10, 896, 14, 1, 9_750_272, 2_753_408, "float32"),
            {1: (700, 845), 5: (926, 1176), 10: (1302, 1458)},
        ),
    ],
)
def test_the_real_memory_is_within_15_percent(
    architecture: Architecture, measured: dict[int, tuple[int, int]]
) -> None:
    needs = needs_of(architecture, "cpu")
    assert needs.dtype == "float32"
    for blocks, (held, highest) in measured.items():
        assert needs.held(blocks) == pytest.approx(held * MIB, rel=0.15)
        assert needs.total(blocks) == pytest.approx(highest * MIB, rel=0.15)


def test_a_processor_needs_memory_to_compute_a_long_prompt() -> None:
    long = needs_of(built("bigscience/bloomz-560m"), "cpu")
    assert long.total(3) - long.held(3) == long.working > 0
    # No prompt is longer than the attention cache.
    short = needs_of(built("bigscience/bloomz-560m"), "cpu", cache_tokens=128)
    assert short.working < long.working / 50
    # On a GPU it is within what is kept for gradients.
    assert needs_of(built("bigscience/bloomz-560m"), "cuda").working == 0


def test_a_processor_of_many_cores_has_more_handlers() -> None:
    needs = [
        needs_of(built("bigscience/bloomz-560m"), "cpu", handlers=place.handlers).fixed
        for place in (choose_place(replace(PC, cores=cores), "cpu") for cores in (1, 2, 4, 64))
    ]
    assert needs[0] == needs[1] < needs[2] == needs[3]


@pytest.mark.parametrize(
    ("checkpoint", "kind", "wanted", "served"),
    [
        ("float32", "cpu", "auto", "float32"),
        ("auto", "cpu", "auto", "float32"),
        ("float16", "cpu", "auto", "bfloat16"),
        ("float32", "cuda", "auto", "bfloat16"),
        ("float16", "cuda", "auto", "float16"),
        ("bfloat16", "mps", "auto", "float16"),
        ("bfloat16", "mps", "bfloat16", "float16"),
        ("bfloat16", "cuda", "float32", "float32"),
    ],
)
def test_the_number_format_that_is_served(
    checkpoint: str, kind: str, wanted: str, served: str
) -> None:
    assert served_dtype(checkpoint, kind, wanted) == served


def test_the_fit_is_explained_with_its_numbers() -> None:
    place = choose_place(PC)
    fit = fit_of(BELUGA, place, quantization="nf4", reserve_percent=20)
    assert fit is not None
    assert (fit.verdict, fit.short()) == ("part", "33 of 80")
    assert fit.sentence() == (
        "22.0 GiB free on NVIDIA GeForce RTX 3090, 20% kept back, 1.1 GiB for Petals, "
        "502 MiB a block with its attention cache: 33 of 80 blocks."
    )
    less = fit_of(BELUGA, place, quantization="nf4", reserve_percent=50)
    assert less is not None
    assert less.blocks == 20


def test_what_fits_whole_not_at_all_or_is_not_known() -> None:
    tiny = MODELS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"]
    whole = fit_of(tiny, choose_place(PC), reserve_percent=20)
    assert whole is not None
    assert (whole.verdict, whole.short(), whole.blocks) == ("whole", "all 22", 22)
    assert whole.sentence().endswith("all 22 blocks.")
    none = fit_of(MODELS["bigscience/bloom"], Place("cuda", "a card", 4 * GIB), reserve_percent=20)
    assert none is not None
    assert (none.verdict, none.short(), none.blocks) == ("none", "0 of 70", 0)
    assert none.sentence().endswith("not one block.")
    unknown = fit_of(tiny, Place("cuda", "NVIDIA H100", None), reserve_percent=20)
    assert unknown is not None
    assert (unknown.verdict, unknown.short(), unknown.blocks) == ("unknown", "? of 22", None)
    assert unknown.sentence() == "It is not known how much memory is free on NVIDIA H100."


def test_a_model_of_unknown_sizes_has_no_fit() -> None:
    assert fit_of(ModelInfo("a", "a", "llama", 8), choose_place(PC), reserve_percent=20) is None


def test_only_nvidia_gpus_quantize() -> None:
    fit = fit_of(BELUGA, Place("cpu", "here", 40 * GIB), quantization="nf4", reserve_percent=0)
    assert fit is not None
    assert fit.needs.quantization == "none"


def test_the_demo_is_served_as_it_was_trained() -> None:
    fit = fit_of(demo_info(), Place("cuda", "a card", GIB), reserve_percent=20)
    assert fit is not None
    assert (fit.needs.dtype, fit.verdict) == ("float32", "whole")


@pytest.mark.parametrize(
    ("gpus", "device", "chosen", "free"),
    [
        ((), "auto", "cpu", 40 * GIB),
        ((BIG_CARD, SMALL_CARD), "auto", "cuda", 22 * GIB),
        ((BIG_CARD, SMALL_CARD), "cuda:1", "cuda:1", 5 * GIB),
        ((BIG_CARD,), "cpu", "cpu", 40 * GIB),
        ((RADEON,), "auto", "cpu", 40 * GIB),
        ((MAC,), "auto", "mps", 40 * GIB),
        ((Gpu("nvidia", "NVIDIA GB10", None, None, unified=True),), "auto", "cuda", 40 * GIB),
        ((Gpu("nvidia", "NVIDIA H100", None, None),), "auto", "cuda", None),
    ],
)
def test_where_blocks_would_be(
    gpus: tuple[Gpu, ...], device: str, chosen: str, free: int | None
) -> None:
    place = choose_place(replace(PC, gpus=gpus), device)
    assert (place.device, place.free) == (chosen, free)


@pytest.mark.parametrize(
    ("gpus", "device", "why"),
    [
        ((), "cuda", "shows no NVIDIA GPUs"),
        ((BIG_CARD,), "cuda:1", "shows 1 NVIDIA GPUs"),
        ((BIG_CARD,), "mps", "no GPU of Apple"),
    ],
)
def test_a_device_that_is_not_there(gpus: tuple[Gpu, ...], device: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_place(replace(PC, gpus=gpus), device)
    assert why in (caught.value.why or "")


def test_the_configuration_decides() -> None:
    def device(config: Config, hosting: str = "native") -> str:
        return configured_place(config, PC, hosting).device

    assert device(Config()) == "cuda"
    assert device(Config(share=ShareConfig(device="cpu"))) == "cpu"
    assert device(Config(petals=PetalsConfig(torch="cpu"))) == "cpu"
    assert device(Config(docker=DockerConfig(gpus="none")), "docker") == "cpu"
    assert device(Config(docker=DockerConfig(gpus="none")), "native") == "cuda"
    limited = Config(docker=DockerConfig(gpus="none", memory=2 * GIB))
    assert configured_place(limited, PC, "docker").free == 2 * GIB
    assert configured_place(limited, PC, "native").free == 22 * GIB
    asked = Config(share=ShareConfig(quantization="int8", reserve_percent=0))
    fit = configured_fit(asked, BELUGA, configured_place(asked, PC, "native"))
    assert fit is not None
    assert (fit.needs.quantization, fit.reserve_percent) == ("int8", 0)


def test_a_container_on_a_mac_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    machine = replace(PC, gpus=(MAC,))
    assert configured_place(Config(), machine, "docker").device == "cpu"
    assert configured_place(Config(), machine, "native").device == "mps"


def test_memory_in_words() -> None:
    assert [memory_text(size) for size in (22 * GIB, GIB, 417 * MIB, 5 * MIB, 0)] == [
        "22.0 GiB",
        "1.0 GiB",
        "417 MiB",
        "5.0 MiB",
        "0.0 MiB",
    ]


_KNOWN = st.sampled_from(sorted(MODELS))


@given(
    _KNOWN,
    st.sampled_from(("cpu", "cuda", "mps")),
    st.sampled_from(("auto", *DTYPE_BYTES)),
    st.sampled_from(("none", "int8", "nf4")),
    st.integers(0, 2**42),
    st.integers(0, 90),
)
def test_as_many_blocks_as_the_memory_holds_and_no_more(
    name: str, kind: str, dtype: str, quantization: str, free: int, reserve: int
) -> None:
    model = MODELS[name]
    fit = fit_of(
        model,
        Place(kind, "a place", free),
        torch_dtype=dtype,
        quantization=quantization,
        reserve_percent=reserve,
    )
    assert fit is not None
    assert fit.blocks is not None
    usable = free * (100 - reserve) // 100
    assert 0 <= fit.blocks <= model.num_blocks
    assert fit.blocks == 0 or fit.needs.total(fit.blocks) <= usable
    assert fit.blocks == model.num_blocks or fit.needs.total(fit.blocks + 1) > usable
    assert (fit.verdict == "whole") == (fit.blocks == model.num_blocks)


@given(_KNOWN, st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 90))
def test_more_memory_never_holds_fewer_blocks(
    name: str, less: int, more: int, reserve: int
) -> None:
    def blocks(free: int) -> int:
        fit = fit_of(MODELS[name], Place("cuda", "a card", free), reserve_percent=reserve)
        assert fit is not None
        assert fit.blocks is not None
        return fit.blocks

    low, high = sorted((less, more))
    assert blocks(low) <= blocks(high)
