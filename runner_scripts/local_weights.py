"""The weights of a checkpoint: where they are, how many, and that they are no programs."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat_errors import ChatError

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Weights:
    """The safetensors files of a checkpoint, and the number of values in all of them."""

    files: tuple[str, ...]
    values: int


def find_weights(model: str, stored_bytes: int, to_come: Mapping[str, int]) -> Weights:
    """Look for the weights in a folder, without loading them.

    Of files `to_come` the bytes are known, of which a value has `stored_bytes`. Raises ChatError
    (unsafe_weights when all there is are pickles, which can run any program; model_not_found).
    """
    folder = Path(model)
    index = folder / _INDEX
    try:
        names = [_SINGLE]
        if index.is_file():
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChatError("model_not_found", f"{index} is damaged: {error}") from error
    sizes: list[int] = []
    absent = []
    for name in names:
        if (folder / name).is_file():
            sizes.append(_count(folder / name))
        elif name in to_come:
            sizes.append(to_come[name] // stored_bytes)
        else:
            absent.append(name)
    if not absent:
        return Weights(tuple(names), sum(sizes))
    if not index.is_file() and (
        pickled := [name for name in _PICKLED if (folder / name).is_file()]
    ):
        raise ChatError(
            "unsafe_weights",
            f"{model} has its weights only as pickled files ({', '.join(pickled)}). Loading those"
            " can run any program that was put into them, so only safetensors files are loaded.",
        )
    raise ChatError("model_not_found", f"{model} lacks {', '.join(absent)}.")


def _count(file: Path) -> int:
    """Count the values by the file's header (https://github.com/huggingface/safetensors)."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(stream.read(length))
        return sum(math.prod(shape) for shape in _shapes(header))
    except (OSError, ValueError, struct.error) as error:
        raise ChatError("model_not_found", f"{file} is damaged: {error}") from error


def _shapes(header: dict[str, Any]) -> Iterator[list[int]]:
    for name, tensor in header.items():
        if name != "__metadata__":
            yield tensor["shape"]
