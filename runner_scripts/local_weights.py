"""The weights of a checkpoint: where they are, and how many."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chat_errors import ChatError
from weight_index import PICKLED_INDEXES, SAFE_INDEXES, read_header


@dataclass(frozen=True)
class Weights:
    """The files of a checkpoint, and the number of values in all of them."""

    files: tuple[str, ...]
    values: int


def find_weights(
    model: str, stored_bytes: int, to_come: Mapping[str, int], *, pickled: bool = False
) -> Weights:
    """Look for the weights in a folder, without loading them.

    Of files `to_come`, and of `pickled` ones, the bytes are known, of which a value has
    `stored_bytes`. Raises ChatError (model_not_found).
    """
    folder = Path(model)
    names = _names(folder, to_come, pickled=pickled)
    sizes: list[int] = []
    absent = []
    for name in names:
        file = folder / name
        if file.is_file():
            safe = name.endswith(".safetensors")
            sizes.append(_count(file) if safe else file.stat().st_size // stored_bytes)
        elif name in to_come:
            sizes.append(to_come[name] // stored_bytes)
        else:
            absent.append(name)
    if absent:
        raise ChatError("model_not_found", f"{model} lacks {', '.join(absent)}.")
    return Weights(tuple(names), sum(sizes))


def _names(folder: Path, to_come: Mapping[str, int], *, pickled: bool) -> list[str]:
    known = (*SAFE_INDEXES, *PICKLED_INDEXES) if pickled else SAFE_INDEXES
    for name in known:
        index = folder / name
        if name in to_come or (index.is_file() and not name.endswith(".json")):
            return [name]
        if index.is_file():
            try:
                return sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise ChatError("model_not_found", f"{index} is damaged: {error}") from error
    return ["model.safetensors"]


def _count(file: Path) -> int:
    """Count the values by the file's header. Raises ChatError (model_not_found)."""
    try:
        return sum(math.prod(tensor["shape"]) for tensor in read_header(file).values())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ChatError("model_not_found", f"{file} is damaged: {error}") from error
