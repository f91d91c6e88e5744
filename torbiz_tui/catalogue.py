"""The models that Petals can serve: the demo, local folders, and models of the hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths, demo_model
from torbiz_tui.threads import call_abandonable

DEMO_MODEL = "torbiz-demo"
HUB_TIMEOUT_S = 10.0
# petals 2.2.0.post1, petals/models: the families it can distribute. Mixtral and Llama 3.1 need
# its main branch.
_BLOCK_COUNT_KEYS = {
    "llama": ("num_hidden_layers",),
    "falcon": ("num_hidden_layers",),
    "bloom": ("n_layer", "num_hidden_layers"),
}
_MAIN_BRANCH_ONLY = ("mixtral",)
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_SAFETENSORS_HEADER = struct.Struct("<Q")


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be hosted or asked.

    `source` is what Petals loads it from: a hub id or a folder. `dht_prefix` is empty where Petals
    derives it from the hub id. `parameters` is a count, None when unknown.
    """

    name: str
    source: str
    model_type: str
    num_blocks: int
    torch_dtype: str = "auto"
    dht_prefix: str = ""
    demo: bool = False
    note: str = ""
    parameters: int | None = None


# Block counts and parameters are num_hidden_layers and the sizes of the models' published
# config.json and model cards.
_HUB_MODELS = (
    ModelInfo(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "llama",
        22,
        "bfloat16",
        note="small chat model",
        parameters=1_100_000_000,
    ),
    ModelInfo(
        "petals-team/StableBeluga2",
        "petals-team/StableBeluga2",
        "llama",
        80,
        "bfloat16",
        note="70B chat model",
        parameters=69_000_000_000,
    ),
)


def demo_info() -> ModelInfo:
    """The model that ships with the program. Raises TorbizError when its files are damaged."""
    folder = demo_model()
    info = _from_config(DEMO_MODEL, str(folder), _read_config(folder / "config.json"))
    return ModelInfo(
        name=DEMO_MODEL,
        source=str(folder),
        model_type=info.model_type,
        num_blocks=info.num_blocks,
        torch_dtype="float32",
        dht_prefix=f"{DEMO_MODEL}-hf",
        demo=True,
        note="ships with the program, knows only its documentation",
        parameters=_count_parameters(folder),
    )


def known_models(paths: Paths) -> list[ModelInfo]:
    """The demo, the folders in `models/`, then hub models; reads files only."""
    found: list[ModelInfo] = []
    folders = [config.parent for config in sorted(paths.models.glob("*/config.json"))]
    describers: list[Callable[[], ModelInfo]] = [
        demo_info,
        *(partial(local_info, folder) for folder in folders),
    ]
    for describe in describers:
        # What cannot be served is refused with its reason when it is chosen by name.
        with contextlib.suppress(TorbizError):
            found.append(describe())
    return found + list(_HUB_MODELS)


async def resolve_model(name: str, paths: Paths) -> ModelInfo:
    """The facts of a model by name, folder or hub id, read from its own config.

    Raises UsageError when it does not exist, needs a licence or a token, or cannot be served.
    """
    if name == DEMO_MODEL:
        return demo_info()
    folder = _local_folder(name, paths)
    if folder is not None:
        return await asyncio.to_thread(local_info, folder)
    if not _HUB_ID.match(name):
        raise UsageError(
            f"There is no model {name!r}.",
            why="It is neither a folder nor of the form owner/name.",
            remedy=f"Give {DEMO_MODEL}, a folder that holds config.json, or a Hugging Face id.",
            code="model_not_found",
        )
    try:
        async with asyncio.timeout(HUB_TIMEOUT_S):
            config = await call_abandonable(partial(_hub_config, name), f"ask the hub for {name}")
    except TimeoutError:
        raise TorbizError(
            f"The model hub did not answer about {name} within {HUB_TIMEOUT_S:.0f} s.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from None
    return _from_config(name, name, config)


def local_info(folder: Path) -> ModelInfo:
    """The facts of a model in a folder. Raises UsageError when it cannot be served."""
    config = _read_config(folder / "config.json")
    name = folder.name
    info = _from_config(name, str(folder), config)
    prefix = re.sub(r"[^\w-]", "-", name)
    return ModelInfo(
        name=name,
        source=str(folder),
        model_type=info.model_type,
        num_blocks=info.num_blocks,
        torch_dtype=info.torch_dtype,
        dht_prefix=f"{prefix}-hf",
        note="local folder",
        parameters=_count_parameters(folder),
    )


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
            header, begin = _safetensors_header(file)
        except (OSError, ValueError, struct.error) as error:
            return f"{file} is damaged: {error}."
        end = max(entry["data_offsets"][1] for entry in header.values())
        if file.stat().st_size != begin + end:
            return f"{file} is damaged: {file.stat().st_size} bytes instead of {begin + end}."
    return ""


def _local_folder(name: str, paths: Paths) -> Path | None:
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


def _hub_config(name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return _read_config(Path(hf_hub_download(name, "config.json", etag_timeout=HUB_TIMEOUT_S)))
    except GatedRepoError as error:
        raise UsageError(
            f"{name} is gated: its owner wants a licence accepted first.",
            remedy=f"Accept it on the page of {name} and set HF_TOKEN to a token of that account.",
            code="model_gated",
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no model {name} on the hub, or it is private.",
            remedy="Check the spelling; for a private model set HF_TOKEN.",
            code="model_not_found",
        ) from error
    except LocalEntryNotFoundError as error:
        raise TorbizError(
            f"The model hub cannot be reached, and {name} is not in the cache.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from error
    except EntryNotFoundError as error:
        raise UsageError(
            f"{name} has no config.json, so it is not a model that Petals can serve.",
            remedy="Choose a model in the transformers format.",
            code="model_unsupported",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise TorbizError(
            f"The model hub did not give the facts of {name}.",
            why=f"{type(error).__name__}.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from error


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The model's {file} cannot be read.", why=f"{error}.", code="model_unsupported"
        ) from error
    if not isinstance(config, dict):
        raise UsageError(f"The model's {file} is not an object.", code="model_unsupported")
    return config


def _from_config(name: str, source: str, config: dict[str, Any]) -> ModelInfo:
    model_type = str(config.get("model_type", "none"))
    rope = config.get("rope_scaling")
    llama_3_1 = isinstance(rope, dict) and rope.get("rope_type") == "llama3"
    if model_type in _MAIN_BRANCH_ONLY or llama_3_1:
        raise UsageError(
            f"{name} needs the main branch of Petals.",
            why="The released Petals 2.2.0 cannot load its "
            + ("rotary embedding scaling (Llama 3.1)." if llama_3_1 else f"type {model_type}."),
            remedy="Choose another model.",
            code="model_unsupported",
        )
    keys = _BLOCK_COUNT_KEYS.get(model_type)
    if keys is None:
        raise UsageError(
            f"Petals cannot serve {name}.",
            why=f"It is of type {model_type!r}.",
            remedy=f"Petals serves the types {', '.join(_BLOCK_COUNT_KEYS)}.",
            code="model_unsupported",
        )
    blocks = next((config[key] for key in keys if isinstance(config.get(key), int)), 0)
    if blocks < 1:
        raise UsageError(
            f"The config of {name} does not say how many blocks it has.",
            remedy=f"It must have {keys[0]}, a positive number.",
            code="model_unsupported",
        )
    dtype = str(config.get("torch_dtype", "auto"))
    return ModelInfo(name, source, model_type, blocks, dtype)


def _safetensors_header(file: Path) -> tuple[dict[str, Any], int]:
    """The tensors' descriptions and the byte at which their data begins.

    The format: 8 bytes little-endian length, that many bytes of JSON, then the data
    (https://github.com/huggingface/safetensors#format).
    """
    with file.open("rb") as stream:
        (length,) = _SAFETENSORS_HEADER.unpack(stream.read(_SAFETENSORS_HEADER.size))
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    if not header:
        raise ValueError("it holds no tensors")
    return header, _SAFETENSORS_HEADER.size + length


def _count_parameters(folder: Path) -> int | None:
    total = 0
    for file in folder.glob("*.safetensors"):
        try:
            header, _begin = _safetensors_header(file)
        except (OSError, ValueError, struct.error):
            return None
        for entry in header.values():
            count = 1
            for size in entry["shape"]:
                count *= size
            total += count
    return total or None
