"""How many blocks of a model fit on this machine, computed as Petals itself would, and explained.

Memory for a block are its weights and its part of the attention cache, by the formulas of Petals
2.2.0 (`server/block_utils.py`, `server/server.py`). What its processes take besides was measured
with this project's stack, and `benchmarks/share.py` measures it again: it compares `Needs.held` and
`Needs.total` with the real memory. A part of what is free is kept back: other programs grow, and
allocators leave gaps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torbiz_tui.catalogue import Architecture, ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.errors import UsageError
from torbiz_tui.hardware import Hardware

DTYPE_BYTES: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
# Bytes for a weight; NF4's 4.25 bits are what Petals has measured.
_QUANTIZED_BYTES = {"int8": 1.0, "nf4": 4.25 / 8}
# Petals adds this much for tables and descriptions of tensors.
_TABLES = 1.01
# Tokens of all sessions together that Petals keeps: more where heads share keys and values.
_CACHE_TOKENS, _CACHE_TOKENS_SHARED = 4096, 16384
# Petals keeps this for gradients on a GPU: 2 GiB at BLOOM's hidden size.
_GRADIENT_BYTES, _GRADIENT_HIDDEN_SIZE = 2 * 2**30, 14336
# A server on a processor without blocks: the process that computes, hivemind's DHT, two p2pd, torch's
# shared memory, and what they map of programs, once they have answered. Each handler comes on top.
_SERVER_BYTES = 440 * 2**20
_HANDLER_BYTES = 64 * 2**20
# As many as run_petals_seeder.py starts: by the cores on a processor, otherwise Petals' default.
_HANDLERS_CPU_MOST, _HANDLERS_CPU_LEAST, _HANDLERS = 4, 2, 8
# The longest session that a server accepts: longer where heads share keys and values.
_SESSION_TOKENS, _SESSION_TOKENS_SHARED = 2048, 8192
# A prompt is computed in pieces whose attention logits take at most this on a processor:
# CPU_CHUNK_BYTES of run_petals_seeder.py, and `server/backend.py` of Petals.
_LOGITS_BYTES = 64 * 2**20
# How often the logits are there at once (`models/llama/block.py`): with a copy that is scaled, or,
# in two bytes each, with a copy in float32 and its softmax. The mask is as large for one head.
_LOGITS_COPIES: Mapping[int, int] = {4: 2, 2: 5}
_MASK_COPIES = 3


@dataclass(frozen=True)
class Place:
    """Where blocks would be: a device by Petals' name, whose it is, and what is free there.

    `free` is in bytes, None when it is not known. `handlers` are the processes of a server there
    that take requests.
    """

    device: str
    title: str
    free: int | None
    handlers: int = _HANDLERS_CPU_LEAST

    @property
    def kind(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self.device.partition(":")[0]


@dataclass(frozen=True)
class Needs:
    """What blocks take where they are, in bytes.

    `fixed` is once for the server, and `working` the part of it that is needed only while the longest
    prompt is computed. `adapters_per_block` are the LoRA adapters that are hosted beside.
    """

    dtype: str
    quantization: str
    weights_per_block: int
    cache_per_block: int
    fixed: int
    working: int = 0
    adapters_per_block: int = 0

    @property
    def per_block(self) -> int:
        """One block with its attention cache and its adapters."""
        return self.weights_per_block + self.cache_per_block + self.adapters_per_block

    def total(self, blocks: int) -> int:
        """The most that a server of so many blocks takes: its cache full, in a long prompt."""
        return self.fixed + blocks * self.per_block

    def held(self, blocks: int) -> int:
        """What such a server takes between its answers, with its attention cache full."""
        return self.total(blocks) - self.working


@dataclass(frozen=True)
class Fit:
    """How many blocks of a model fit.

    `blocks` is 0 when none does, None when that is not known. `download` are the bytes that one
    block is in the model's own files. `adapters_left_out` are adapters whose size is not known.
    """

    num_blocks: int
    place: Place
    needs: Needs
    reserve_percent: int
    download_per_block: int
    adapters_left_out: tuple[str, ...] = ()

    @cached_property
    def blocks(self) -> int | None:
        """The blocks that fit, at most all."""
        if self.place.free is None:
            return None
        usable = self.place.free * (100 - self.reserve_percent) // 100 - self.needs.fixed
        return max(0, min(self.num_blocks, usable // self.needs.per_block))

    @property
    def verdict(self) -> str:
        """`whole`, `part`, `none`, or `unknown`."""
        if self.blocks is None:
            return "unknown"
        if self.blocks == self.num_blocks:
            return "whole"
        return "part" if self.blocks else "none"

    def short(self) -> str:
        """The verdict for a column: `all 22`, `19 of 80`, `0 of 70`, `? of 80`."""
        if self.verdict == "whole":
            return f"all {self.num_blocks}"
        return f"{'?' if self.blocks is None else self.blocks} of {self.num_blocks}"

    def sentence(self) -> str:
        """The verdict with its numbers."""
        if self.place.free is None:
            return f"It is not known how much memory is free on {self.place.title}."
        outcome = {
            "whole": f"all {self.num_blocks} blocks",
            "none": "not one block",
        }.get(self.verdict, f"{self.blocks} of {self.num_blocks} blocks")
        return (
            f"{memory_text(self.place.free)} free on {self.place.title}, "
            f"{self.reserve_percent}% kept back, {memory_text(self.needs.fixed)} for Petals, "
            f"{memory_text(self.needs.per_block)} a block with its attention cache"
            f"{self.adapters_text()}: {outcome}."
        )

    def adapters_text(self) -> str:
        """What of `per_block` adapters are, and which are not counted; empty without any."""
        beside = self.needs.adapters_per_block
        text = f" and {memory_text(beside)} of adapters" if beside else ""
        if self.adapters_left_out:
            text += f" (without {', '.join(self.adapters_left_out)}, of unknown size)"
        return text


def choose_place(machine: Hardware, device: str = "auto", memory_limit: int | None = None) -> Place:
    """Where a server would put its blocks; `device` as in `share.device`.

    `memory_limit` bounds what it may use of the machine's memory (a container's limit). AMD's GPUs
    are passed over: the build of torch that Setup installs does not compute on them. Raises
    UsageError when there is no such device.
    """
    memory = machine.memory_available
    if memory_limit is not None:
        memory = min(memory, memory_limit)
    nvidia = [gpu for gpu in machine.gpus if gpu.vendor == "nvidia"]
    apple = [gpu for gpu in machine.gpus if gpu.vendor == "apple"]
    if device == "auto":
        device = "cuda" if nvidia else "mps" if apple else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cuda":
        index = int(number or 0)
        if index >= len(nvidia):
            raise UsageError(
                f"There is no device {device}.",
                why=f"This machine shows {len(nvidia) or 'no'} NVIDIA GPUs.",
                remedy="Give auto, cpu, or a GPU that is there.",
                code="no_device",
            )
        gpu = nvidia[index]
        return Place(device, gpu.name, memory if gpu.unified else gpu.memory_free)
    if kind == "mps":
        if not apple:
            raise UsageError(
                "There is no device mps.",
                why="This machine has no GPU of Apple.",
                remedy="Give auto or cpu.",
                code="no_device",
            )
        return Place("mps", apple[0].name, memory, _HANDLERS)
    handlers = min(_HANDLERS_CPU_MOST, max(_HANDLERS_CPU_LEAST, machine.cores))
    title = "this machine's processor"
    if machine.memory_virtual:
        title = "the container engine's virtual machine"
    return Place("cpu", title, memory, handlers)


def configured_place(config: Config, machine: Hardware, hosting: str) -> Place:
    """Where a server would put its blocks with this configuration.

    `hosting` is the name of the environment that hosts. Raises UsageError when `share.device` is
    not there.
    """
    share, docker = config.share, config.docker
    no_gpu = without_gpu(config, hosting)
    device = "cpu" if share.device == "auto" and no_gpu else share.device
    return choose_place(machine, device, docker.memory if hosting == "docker" else None)


def without_gpu(config: Config, hosting: str) -> bool:
    """Whether a server gets no GPU there, whatever the machine has; `hosting` as above."""
    if hosting == "docker":
        # A container on a Mac has none.
        return config.docker.gpus == "none" or sys.platform == "darwin"
    return config.petals.torch == "cpu"


def configured_fit(config: Config, model: ModelInfo, place: Place) -> Fit | None:
    """How a model fits there with this configuration; None when its sizes are not known."""
    share = config.share
    return fit_of(
        model,
        place,
        torch_dtype=share.torch_dtype,
        quantization=share.quantization,
        cache_tokens=share.attn_cache_tokens,
        reserve_percent=share.reserve_percent,
    )


def needs_of(
    built: Architecture,
    kind: str,
    *,
    torch_dtype: str = "auto",
    quantization: str = "none",
    cache_tokens: int | None = None,
    handlers: int = _HANDLERS_CPU_LEAST,
) -> Needs:
    """What blocks of a model take on a `cpu`, on `cuda` or on `mps`.

    `cache_tokens` as in `share.attn_cache_tokens`; None leaves it to Petals. `handlers` as in `Place`.
    """
    dtype = served_dtype(built.torch_dtype, kind, torch_dtype)
    each = _QUANTIZED_BYTES.get(quantization, DTYPE_BYTES[dtype])
    shared = built.key_value_groups > 1
    tokens = cache_tokens or (_CACHE_TOKENS_SHARED if shared else _CACHE_TOKENS)
    cache_values = 2 * built.hidden_size * tokens // built.key_value_groups
    gradients = _GRADIENT_BYTES * built.hidden_size // _GRADIENT_HIDDEN_SIZE
    server = _SERVER_BYTES + handlers * _HANDLER_BYTES
    working = _prompt_bytes(built, DTYPE_BYTES[dtype], tokens) if kind == "cpu" else 0
    return Needs(
        dtype=dtype,
        quantization=quantization,
        weights_per_block=round(built.block_parameters * each * _TABLES),
        cache_per_block=cache_values * DTYPE_BYTES[dtype],
        fixed={"cuda": gradients, "mps": gradients + server}.get(kind, server + working),
        working=working,
    )


def _prompt_bytes(built: Architecture, each: int, cache_tokens: int) -> int:
    """What is needed besides while the longest prompt is computed, `each` byte a number.

    On a GPU the memory for gradients, which prompts do not have, is more than that.
    """
    longest = _SESSION_TOKENS_SHARED if built.key_value_groups > 1 else _SESSION_TOKENS
    tokens = min(longest, cache_tokens)
    logits = min(_LOGITS_BYTES, built.attention_heads * tokens * tokens * each)
    masks = _MASK_COPIES * logits // built.attention_heads
    # Of the block that is computed, as they were and with a piece of the prompt more.
    keys_and_values = 2 * built.hidden_size * tokens // built.key_value_groups * each
    return logits * _LOGITS_COPIES[each] + masks + 2 * keys_and_values


def served_dtype(checkpoint: str, kind: str, wanted: str = "auto") -> str:
    """The number format in which a server computes, as the seeder and Petals settle it.

    A CPU keeps float32 and has no float16; Petals makes bfloat16 of float32 elsewhere; Metal has no
    bfloat16.
    """
    if wanted != "auto":
        chosen = wanted
    elif kind == "cpu":
        chosen = "float32" if checkpoint in ("auto", "float32") else "bfloat16"
    else:
        chosen = checkpoint if checkpoint in ("float16", "bfloat16") else "bfloat16"
    if kind == "mps" and chosen == "bfloat16":
        return "float16"
    return chosen


def fit_of(
    model: ModelInfo,
    place: Place,
    *,
    torch_dtype: str = "auto",
    quantization: str = "none",
    cache_tokens: int | None = None,
    reserve_percent: int,
) -> Fit | None:
    """How a model fits there; None when its sizes are not known.

    The settings are those of `share`. Quantization is done on NVIDIA's GPUs alone, and left out
    elsewhere.
    """
    built = model.architecture
    if built is None:
        return None
    needs = needs_of(
        built,
        place.kind,
        # The demo is always served as it was trained.
        torch_dtype="float32" if model.demo and torch_dtype == "auto" else torch_dtype,
        quantization=quantization if place.kind == "cuda" else "none",
        cache_tokens=cache_tokens,
        handlers=place.handlers,
    )
    stored = DTYPE_BYTES.get(built.torch_dtype, 2)
    return Fit(
        num_blocks=built.num_blocks,
        place=place,
        needs=needs,
        reserve_percent=reserve_percent,
        download_per_block=built.block_parameters * stored,
    )


def block_bytes(built: Architecture) -> dict[str, int]:
    """The weights of one block in every number format and quantization."""
    sizes = {name: float(size) for name, size in DTYPE_BYTES.items()} | _QUANTIZED_BYTES
    return {name: round(built.block_parameters * size * _TABLES) for name, size in sizes.items()}


def memory_text(size: int) -> str:
    """Bytes of memory: `22.0 GiB`, `417 MiB`, `0.9 MiB`."""
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB"
    mebibytes = size / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes >= 10 else f"{mebibytes:.1f} MiB"
