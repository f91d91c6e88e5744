"""A model in a folder of this machine: its config, its weights, its name in a swarm."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from torbiz_tui.catalogue.architecture import Architecture, read_architecture
from torbiz_tui.catalogue.model_info import ModelInfo, with_channel
from torbiz_tui.errors import UsageError
from torbiz_tui.paths import Paths

_SAFETENSORS_HEADER = struct.Struct("<Q")


def local_info(folder: Path) -> ModelInfo:
    """The facts of a model in a folder. Raises UsageError when it cannot be served."""
    built = read_architecture(folder.name, read_config(folder / "config.json"))
    return ModelInfo(
        name=folder.name,
        source=str(folder),
        model_type=built.family,
        num_blocks=built.num_blocks,
        torch_dtype=built.torch_dtype,
        dht_prefix=_dht_prefix(folder.name, built),
        note=with_channel("local folder", built.channel),
        parameters=count_parameters(folder) or built.parameters,
        channel=built.channel,
        architecture=built,
    )


def _dht_prefix(name: str, built: Architecture) -> str:
    """The name that Petals would give the blocks of a hub model so called."""
    prefix = re.sub(r"[^\w-]", "-", name)
    if built.family == "bloom":
        return f"{prefix}-petals"
    if built.family == "llama" and not prefix.endswith("-hf"):
        return f"{prefix}-hf"
    return prefix


def check_model_files(folder: Path) -> str:
    """What is wrong with the files of a local model in one sentence; empty when nothing is."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        try:
            json.loads((folder / name).read_text("utf-8"))
        except FileNotFoundError:
            return f"{folder / name} is missing."
        except (OSError, ValueError) as error:
            return f"{folder / name} cannot be read: {error}."
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        return f"{folder} holds no safetensors weights."
    for file in weights:
        try:
            header, begin = safetensors_header(file)
        except (OSError, ValueError, struct.error) as error:
            return f"{file} is damaged: {error}."
        end = max(entry["data_offsets"][1] for entry in header.values())
        if file.stat().st_size != begin + end:
            return f"{file} is damaged: {file.stat().st_size} bytes instead of {begin + end}."
    return ""


def local_folder(name: str, paths: Paths) -> Path | None:
    """The folder that is meant by a path or a name in `models/`, None when it is no folder.

    Raises UsageError when it can only be a path and no model is there.
    """
    given = Path(name).expanduser()
    looks_like_path = name.startswith((".", "/", "~"))
    for folder in (given, paths.models / name):
        if (folder / "config.json").is_file():
            return folder.resolve()
    if looks_like_path:
        raise UsageError(
            f"There is no model in {given}.",
            why="The folder does not exist." if not given.is_dir() else "It holds no config.json.",
            remedy="Give a folder with config.json, the tokenizer and safetensors weights.",
            code="model_not_found",
        )
    return None


def read_config(file: Path) -> dict[str, Any]:
    """A config.json. Raises UsageError when it cannot be read or holds no object."""
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The model's {file} cannot be read.", why=f"{error}.", code="model_unsupported"
        ) from error
    if not isinstance(config, dict):
        raise UsageError(f"The model's {file} is not an object.", code="model_unsupported")
    return config


def safetensors_header(file: Path) -> tuple[dict[str, Any], int]:
    """The tensors' descriptions and the byte at which their data begins.

    The format: 8 bytes little-endian length, that many bytes of JSON, then the data
    (https://github.com/huggingface/safetensors#format).
    """
    with file.open("rb") as stream:
        (length,) = _SAFETENSORS_HEADER.unpack(stream.read(_SAFETENSORS_HEADER.size))
        if length > file.stat().st_size:
            raise ValueError("its header is longer than the file")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    if not header:
        raise ValueError("it holds no tensors")
    return header, _SAFETENSORS_HEADER.size + length


def count_parameters(folder: Path) -> int | None:
    """The parameters in the weights of a folder; None when none can be read."""
    total = 0
    for file in folder.glob("*.safetensors"):
        try:
            header, _begin = safetensors_header(file)
        except (OSError, ValueError, struct.error):
            return None
        for entry in header.values():
            count = 1
            for size in entry["shape"]:
                count *= size
            total += count
    return total or None
