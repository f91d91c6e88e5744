"""What LoRA adapters take beside a block, as far as that is known without a download of them."""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torbiz_tui.logs.writing import logger
from torbiz_tui.threads import call_abandonable

_WEIGHTS = "adapter_model.safetensors"
_ASK_TIMEOUT_S = 4.0
# A hub that does not answer is asked again after this.
_AGAIN_S = 60.0


@dataclass(frozen=True)
class _Size:
    """The numbers in an adapter's weights; of one at the hub only the bytes of its file are known."""

    numbers: int = 0
    stored: int = 0

    def in_memory(self, each: int) -> int:
        """Bytes, with `each` byte a number."""
        return self.numbers * each if self.numbers else self.stored


@dataclass(frozen=True)
class BesideBlock:
    """Bytes that adapters take beside each block, and the adapters that are not among them."""

    size: int = 0
    unknown: tuple[str, ...] = ()


class AdapterSizes:
    """Reads the sizes of folders, and remembers what the hub has told of others."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[_Size | None, float]] = {}

    async def learn(self, adapters: Iterable[str], cache: Path) -> None:
        """Look up those of the hub, in `cache` first; that it does not answer is no failure."""
        now = time.monotonic()
        wanted = [
            name
            for name in adapters
            if _folder(name) is None
            and (name not in self._told or (self._told[name][0] is None and self._old(name, now)))
        ]
        sizes = await asyncio.gather(*(_learnt(name, cache) for name in wanted))
        self._told |= {name: (size, now) for name, size in zip(wanted, sizes, strict=True)}

    def beside_block(self, adapters: Iterable[str], num_blocks: int, each: int) -> BesideBlock:
        """What they take beside one of so many blocks, on average, with `each` byte a number."""
        size, unknown = 0, []
        for name in adapters:
            folder = _folder(name)
            known = _of_folder(folder) if folder is not None else self._told.get(name, (None,))[0]
            if known is None:
                unknown.append(name)
            else:
                size += math.ceil(known.in_memory(each) / num_blocks)
        return BesideBlock(size, tuple(unknown))

    def _old(self, name: str, now: float) -> bool:
        return now - self._told[name][1] >= _AGAIN_S


def _folder(name: str) -> Path | None:
    return Path(name).expanduser() if name.startswith(("/", "~")) else None


async def _learnt(name: str, cache: Path) -> _Size | None:
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    for folder in snapshots.glob("*"):
        if (size := _of_folder(folder)) is not None:
            return size
    try:
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            return await call_abandonable(partial(_at_hub, name), f"ask the hub for {name}")
    except Exception as error:  # noqa: BLE001 (the hub's versions use several HTTP libraries)
        logger("sharing").info("the size of %s is not known: %s", name, type(error).__name__)
        return None


def _of_folder(folder: Path) -> _Size | None:
    from torbiz_tui.catalogue.local import safetensors_header

    try:
        header, _ = safetensors_header(folder / _WEIGHTS)
        shapes = [facts["shape"] for key, facts in header.items() if ".lora_" in key]
        return _Size(numbers=sum(math.prod(shape) for shape in shapes))
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None


def _at_hub(name: str) -> _Size | None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    size = get_hf_file_metadata(hf_hub_url(name, _WEIGHTS), timeout=_ASK_TIMEOUT_S).size
    return _Size(stored=size) if size else None
