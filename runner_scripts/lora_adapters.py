"""LoRA adapters for a server's blocks: downloaded, checked, and given to Petals.

Written for petals 2.2.0 (utils/peft.py) and peft 0.5.0. Petals by itself loads no adapter of a
folder, tries every failure of the hub again for ever, and takes a layer for another whose name is
a part of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from argument_types import is_adapter_name
from hub_errors import ModelError
from model_download import ModelDownload
from model_source import block_prefix
from petals_compat import is_installed, stand_in
from weight_index import read_header

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_DEFAULTS = {"init_lora_weights": True}
# With these, what Petals computes would be another model than the adapter's.
_NOT_COMPUTED = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save")
_FALCONS = frozenset(("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"))
_ATTENTION = frozenset(("q_proj", "k_proj", "v_proj", "o_proj"))
# The linear layers in a block of each type (petals/models), which are what Petals gives adapters to.
_LAYERS = {
    "bloom": _FALCONS,
    "falcon": _FALCONS,
    "llama": _ATTENTION | {"gate_proj", "up_proj", "down_proj"},
    "mixtral": _ATTENTION | {"gate", "w1", "w2", "w3"},
}
# Those of them that take as many values as the model's hidden size.
_TAKE_HIDDEN = _ATTENTION - {"o_proj"} | {
    "gate_proj",
    "up_proj",
    "query_key_value",
    "dense_h_to_4h",
}


def load_adapters(
    given: Iterable[str], download: Callable[[str], ModelDownload], model: Any
) -> tuple[str, ...]:
    """Get the adapters, and let Petals load them; return the names that clients ask for them by.

    Each is a hub id, or the path of a folder, whose own name is taken. `download` makes the
    download of a hub id, `model` is the configuration of the model that they are for.
    Raises ModelError, and lets Petals' server raise it where it loads them.
    """
    folders: dict[str, Path] = {}
    downloads: dict[str, ModelDownload] = {}
    for adapter in dict.fromkeys(given):
        path = Path(adapter)
        name = path.name if path.is_absolute() else adapter
        if not is_adapter_name(name):
            raise _unusable(adapter, "Petals takes no name with a dot; a folder can be renamed")
        if folders.setdefault(name, path) != path:
            raise _unusable(adapter, f"another adapter has the name {name} too")
        if not path.is_absolute():
            there = downloads[name] = download(adapter)
            there.ensure_named(CONFIG, (WEIGHTS,))
            folders[name] = there.folder
    configs = {name: _config(name, folder, model) for name, folder in folders.items()}
    peft = _import_peft()
    disk_cache = importlib.import_module("petals.utils.disk_cache")

    def load(
        name: str, block_idx: int, *, cache_dir: str, **_: Any
    ) -> tuple[Mapping[str, Any], Any]:
        if name in downloads:  # blocks that have come since may have taken their place
            downloads[name].ensure_named(CONFIG, (WEIGHTS,))
        with disk_cache.allow_cache_reads(cache_dir):
            weights = str(folders[name] / WEIGHTS)
            return configs[name], peft.load_specific_module(block_idx, weights, device="cpu")

    peft.load_peft = load
    _let_layers_be_told_apart(peft)
    return tuple(folders)


def _let_layers_be_told_apart(peft: Any) -> None:
    """Give Petals the weights of one layer apart from those whose names its own is a part of."""
    add_all = peft.add_adapter_to_block

    def add(block: Any, index: int, name: str, config: dict[str, Any], weights: Any) -> None:
        for targets in _apart(config["target_modules"]):
            own = {
                key: weight
                for key, weight in weights.items()
                if any(f".{target}.lora_" in key for target in targets)
            }
            try:
                add_all(block, index, name, config | {"target_modules": targets}, own)
            except (KeyError, RuntimeError, ValueError, NotImplementedError) as error:
                why = f"it does not fit block {index} ({' '.join(str(error).split())[:200]})"
                raise _unusable(name, why) from error

    peft.add_adapter_to_block = add


def _apart(names: Iterable[str]) -> list[list[str]]:
    """The names in as few lists as it takes for none to be a part of another in its list."""
    lists: list[list[str]] = []
    for name in names:
        for placed in lists:
            if not any(name in other or other in name for other in placed):
                placed.append(name)
                break
        else:
            lists.append([name])
    return lists


def _config(name: str, folder: Path, model: Any) -> dict[str, Any]:
    """What the adapter says of itself, complete for Petals. Raises ModelError."""
    try:
        config: dict[str, Any] = _DEFAULTS | json.loads((folder / CONFIG).read_bytes())
        kind, ranks = str(config["peft_type"]), (config["r"], config["lora_alpha"])
        targets = config["target_modules"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(name, f"its {CONFIG} cannot be used ({type(error).__name__})") from error
    if kind.upper() != "LORA":
        raise _unusable(name, f"it is of the type {kind[:40]}, and Petals computes LORA only")
    if not targets or not all(isinstance(rank, int | float) for rank in ranks):
        raise _unusable(name, f"its {CONFIG} names no modules, or no rank")
    if config.get("bias", "none") != "none":
        raise _unusable(name, "it changes biases, which Petals does not compute")
    if others := [setting for setting in _NOT_COMPUTED if config.get(setting)]:
        raise _unusable(name, f"it uses {', '.join(others)}, which Petals does not compute")
    if not (folder / WEIGHTS).is_file():
        raise _unusable(name, f"it has no {WEIGHTS}, and pickled ones are not loaded")
    layers = _layers(name, folder / WEIGHTS, model)
    # Only training drops values out; Petals would say at every block that it does not. It compares
    # a layer's own name, where peft takes the end of a path or an expression for one too.
    return config | {"peft_type": "LORA", "lora_dropout": 0.0, "target_modules": layers}


def _layers(name: str, weights: Path, model: Any) -> list[str]:
    """The names of the layers that the weights change in blocks of the model. Raises ModelError."""
    try:
        shapes = {key: tensor["shape"] for key, tensor in read_header(weights).items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(name, f"its {WEIGHTS} is damaged ({type(error).__name__})") from error
    blocks = block_prefix(model.model_type).rpartition(".")[2]
    form = re.compile(rf"(?:.+\.)?{blocks}\.(\d+)\.(?:.+\.)?(\w+)\.lora_A\.weight")
    found: set[tuple[str, str]] = set()
    for key, shape in shapes.items():
        if (match := form.fullmatch(key)) is None:
            continue
        block, layer = match.groups()
        if layer not in _LAYERS[model.model_type]:
            raise _unusable(name, f"it changes {layer}, which no block of {model.model_type} has")
        if (block, layer) in found:
            raise _unusable(name, f"it changes several {layer} in a block, which Petals confuses")
        if layer in _TAKE_HIDDEN and shape[1:] != [model.hidden_size]:
            hidden = model.hidden_size
            raise _unusable(name, f"it is not for a model with a hidden size of {hidden}")
        found.add((block, layer))
    if not found:
        raise _unusable(name, f"it changes nothing in blocks of the type {model.model_type}")
    return sorted({layer for _, layer in found})


def _import_peft() -> Any:
    """Import Petals' module for adapters; bitsandbytes is needed for quantized blocks only."""
    with _stand_in_for_bitsandbytes():
        return importlib.import_module("petals.utils.peft")


@contextlib.contextmanager
def _stand_in_for_bitsandbytes() -> Iterator[None]:
    if is_installed("bitsandbytes"):
        yield
        return
    linear = importlib.import_module("torch").nn.Linear
    kinds = {name: type(name, (linear,), {}) for name in ("Linear8bitLt", "Linear4bit")}
    inner = stand_in("bitsandbytes.nn", **kinds)
    sys.modules["bitsandbytes"] = stand_in("bitsandbytes", nn=inner, __path__=[])
    sys.modules["bitsandbytes.nn"] = inner
    try:
        yield
    finally:
        sys.modules.pop("bitsandbytes", None)
        sys.modules.pop("bitsandbytes.nn", None)


def _unusable(name: str, why: str) -> ModelError:
    return ModelError("adapter_unusable", f"The adapter {name} cannot be loaded: {why}.")
