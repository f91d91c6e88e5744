"""LoRA adapters for a server's blocks: downloaded, checked, and given to Petals.

Written for petals 2.2.0 (utils/peft.py) and peft 0.5.0. Petals by itself loads no adapter of a
folder, and tries every failure of the hub again for ever.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hub_errors import ModelError
from model_download import ModelDownload
from petals_compat import is_installed, stand_in

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_DEFAULTS = {"init_lora_weights": True}
# With these, what Petals computes would be another model than the adapter's.
_NOT_COMPUTED = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save")


def load_adapters(
    given: Iterable[str], download: Callable[[str], ModelDownload]
) -> tuple[str, ...]:
    """Get the adapters, and let Petals load them; return the names that clients ask for them by.

    Each is a hub id, or the path of a folder, whose own name is taken. `download` makes the
    download of a hub id. Raises ModelError.
    """
    folders: dict[str, Path] = {}
    for adapter in given:
        path = Path(adapter)
        name = path.name if path.is_absolute() else adapter
        if folders.setdefault(name, path) != path:
            raise _unusable(adapter, f"another adapter has the name {name} too")
        if not path.is_absolute():
            there = download(adapter)
            there.ensure_named(CONFIG, (WEIGHTS,))
            folders[name] = there.folder
    configs = {name: _config(name, folder) for name, folder in folders.items()}
    peft = _import_peft()

    def load(name: str, block_idx: int, **_: Any) -> tuple[Mapping[str, Any], Any]:
        weights = str(folders[name] / WEIGHTS)
        return configs[name], peft.load_specific_module(block_idx, weights, device="cpu")

    peft.load_peft = load
    return tuple(folders)


def _config(name: str, folder: Path) -> dict[str, Any]:
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
    # Only training drops values out; Petals would say at every block that it does not.
    return config | {"peft_type": "LORA", "lora_dropout": 0.0}


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
