"""The weights of a checkpoint: where they are, how many, and that they are no programs."""

from __future__ import annotations

import importlib
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat_errors import ChatError
from model_source import explain_model_error, hub_token

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Weights:
    """The safetensors files of a checkpoint, and the number of values in all of them."""

    files: tuple[str, ...]
    values: int


def find_weights(model: str, stored_bytes: int) -> Weights:
    """Look for the weights in a folder or on the hub, without loading or downloading them.

    `stored_bytes` a value has where only a file's size is known. Raises ChatError (unsafe_weights
    when all there is are pickles, which can run any program; model_not_found).
    """
    try:
        index = _path(model, _INDEX)
        if index is not None:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        else:
            names = [_SINGLE]
        sizes = [_values(model, name, stored_bytes) for name in names]
    except ChatError:
        raise
    except Exception as error:
        known = explain_model_error(error, model)
        raise ChatError(known.code, str(known)) from error
    absent = [name for name, size in zip(names, sizes, strict=True) if size is None]
    if not absent:
        return Weights(tuple(names), sum(size for size in sizes if size is not None))
    if index is None and (pickled := [name for name in _PICKLED if _exists(model, name)]):
        raise ChatError(
            "unsafe_weights",
            f"{model} has its weights only as pickled files ({', '.join(pickled)}). Loading those"
            " can run any program that was put into them, so only safetensors files are loaded.",
        )
    raise ChatError("model_not_found", f"{model} lacks {', '.join(absent)}.")


def _path(model: str, name: str) -> Path | None:
    """Return a small file, downloaded if it must be."""
    if Path(model).is_dir():
        path = Path(model) / name
        return path if path.is_file() else None
    from transformers.utils import cached_file

    found = cached_file(model, name, token=hub_token(), _raise_exceptions_for_missing_entries=False)
    return Path(found) if found else None


def _values(model: str, name: str, stored_bytes: int) -> int | None:
    """Return how many values a file holds, exactly where it is here; None if there is none."""
    path = Path(model) / name
    if Path(model).is_dir():
        return _count(path) if path.is_file() else None
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(model, name)
    if isinstance(cached, str):
        return _count(Path(cached))
    size = _size_on_hub(model, name)
    return None if size is None else size // stored_bytes


def _exists(model: str, name: str) -> bool:
    if Path(model).is_dir():
        return (Path(model) / name).is_file()
    return _size_on_hub(model, name) is not None


def _size_on_hub(model: str, name: str) -> int | None:
    import huggingface_hub

    errors: Any = importlib.import_module("huggingface_hub.utils")
    try:
        url = huggingface_hub.hf_hub_url(model, name)
        size: int | None = huggingface_hub.get_hf_file_metadata(url, token=hub_token()).size
        return size
    except errors.LocalEntryNotFoundError:  # a kind of the next: the hub cannot be reached
        raise
    except errors.EntryNotFoundError:
        return None


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
