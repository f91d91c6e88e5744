"""hivemind's DHT node without torch: what a program needs that only reads the swarm's records.

The package's own `__init__` imports averaging and optimizers, and its utilities import torch for
shared memory between processes and for descriptions of tensors. A DHT node in one process uses
none of it. With the stand-ins the import takes about a tenth of the memory and of the time.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import multiprocessing.connection  # noqa: F401 (torch would have imported it for hivemind)
import sys
import types
from typing import Any


class NotInstalledError(Exception):
    """This Python has no hivemind; the text says so, for people."""


def import_dht_node() -> Any:
    """Import and return `hivemind.dht.node.DHTNode`. Raises NotInstalledError.

    Only for a process that imports neither torch nor the rest of hivemind.
    """
    if "hivemind" not in sys.modules:
        found = importlib.util.find_spec("hivemind")
        if found is None or not found.submodule_search_locations:
            raise NotInstalledError("hivemind is not installed in this Python.")
        package = _module("hivemind")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["hivemind"] = package
        if "torch" not in sys.modules:
            sys.modules["torch"] = _stand_in_for_torch()
    return importlib.import_module("hivemind.dht.node").DHTNode


def _stand_in_for_torch() -> types.ModuleType:
    """Only the names that hivemind.utils (1.1.10 to 1.1.12) reads while it is imported."""

    class NotHere:
        """Stands for a class of torch that no object of this process has."""

    sharing = types.SimpleNamespace(set_sharing_strategy=lambda _strategy: None)
    classes = dict.fromkeys(("Tensor", "dtype", "layout", "device", "Size"), NotHere)
    return _module("torch", multiprocessing=sharing, strided=None, **classes)


def _module(name: str, **attributes: Any) -> types.ModuleType:
    module = types.ModuleType(name, "Stand-in made by light_hivemind.")
    # importlib.util.find_spec raises on a module in sys.modules that has no spec.
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    for attribute, value in attributes.items():
        setattr(module, attribute, value)
    return module
