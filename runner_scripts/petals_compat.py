"""The compatibility layer between petals 2.2.0.post1 and the wheels that PyPI has today.

Call `apply("server")` or `apply("client")` before anything imports petals; `apply("local")` where
transformers alone is used. Nothing heavy is imported with this module itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import importlib.util
import inspect
import os
import signal
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

from process_signals import STOP_SIGNALS

Role = Literal["server", "client", "local"]

# Petals 2.2.0 imports these from `hivemind`, which stopped re-exporting them after 1.1.10.
_HIVEMIND_NAMES = {
    "hivemind.p2p": ("P2P", "P2PContext", "PeerID"),
    "hivemind.utils": (
        "MAX_DHT_TIME_DISCREPANCY_SECONDS",
        "MSGPackSerializer",
        "TensorDescriptor",
        "TimedStorage",
        "get_dht_time",
        "get_logger",
        "nested_flatten",
        "nested_pack",
    ),
    "hivemind.utils.nested": ("nested_compare",),
    "hivemind.utils.asyncio": ("anext",),
    "hivemind.utils.tensor_descr": ("BatchTensorDescriptor",),
    "hivemind.compression": (
        "deserialize_tensor_stream",
        "serialize_torch_tensor",
        "deserialize_torch_tensor",
    ),
}


def apply(
    role: Role,
    *,
    adapters: bool = False,
    progress: Callable[[str], None] = lambda _detail: None,
) -> None:
    """Prepare this process for `import petals`, then import it; for "local", only transformers.

    `adapters` leaves the real `petals.utils.peft` to be imported, which needs peft. `progress`
    is told which package is being imported.
    """
    _set_environment()
    _filter_warnings()
    progress("importing torch")
    importlib.import_module("torch")
    _load_pickles_as_data()
    progress("importing transformers")
    importlib.import_module("transformers")
    _stand_in_for_accelerate_fsdp()
    if role == "local":
        return
    progress("importing hivemind")
    _import_hivemind()
    _start_shared_memory_manager()
    if role == "server":
        _stand_in_for_speedtest()
    if not adapters:
        _stand_in_for_peft()
    progress("importing petals")
    importlib.import_module("petals")
    _replace_version_check()


def _load_pickles_as_data() -> None:
    """Let torch.load take tensors and plain values only, in any torch that can.

    It is its default since torch 2.6 alone, and a variable can turn that off.
    """
    torch: Any = importlib.import_module("torch")
    if "weights_only" in inspect.signature(torch.load).parameters:
        torch.load = functools.partial(torch.load, weights_only=True)


def _start_shared_memory_manager() -> None:
    """Let torch start its torch_shm_manager now, where no signal can interrupt that.

    torch 2.13 (torch/lib/libshm/core.cpp) retries the result of an interrupted read instead of the
    read itself: a stop signal in that moment leaves the process spinning with the interpreter's
    lock held, and only SIGKILL ends it. hivemind chooses the sharing strategy that needs it.
    """
    torch = importlib.import_module("torch")
    try:
        for signum in STOP_SIGNALS:
            signal.siginterrupt(signum, False)
        torch.zeros(1).share_memory_()
    finally:
        for signum in STOP_SIGNALS:
            signal.siginterrupt(signum, True)


def is_installed(package: str) -> bool:
    """Tell whether `package` could be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def _set_environment() -> None:
    # The tokenizers' threads do not survive the forks, and the library warns about each fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def _filter_warnings() -> None:
    """Hide two warnings that this pairing of versions always prints and nobody can act on."""
    # transformers 4.34 registers its output classes with the older name of torch's function.
    warnings.filterwarnings("ignore", message=r".*_register_pytree_node.*")
    # Petals loads a block into parameters that accelerate has already materialised.
    warnings.filterwarnings("ignore", message=r".*copying from a non-meta parameter.*")


def stand_in(name: str, **attributes: Any) -> types.ModuleType:
    """A module that holds these alone."""
    module = types.ModuleType(name, "Stand-in made by petals_compat.")
    # importlib.util.find_spec raises on a module in sys.modules that has no spec.
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    for attribute, value in attributes.items():
        setattr(module, attribute, value)
    return module


def _import_hivemind() -> None:
    """Import hivemind without scipy, and give it back the names that Petals expects."""
    with _stand_in_for_scipy():
        hivemind = importlib.import_module("hivemind")
    for module_name, names in _HIVEMIND_NAMES.items():
        module = importlib.import_module(module_name)
        for name in names:
            if not hasattr(hivemind, name):
                setattr(hivemind, name, getattr(module, name))


@contextlib.contextmanager
def _stand_in_for_scipy() -> Iterator[None]:
    """Only hivemind's averaging solves a linear program with scipy; Petals never averages.

    The stand-in is there just while hivemind is imported, so that other packages still see
    whether the real scipy is installed.
    """
    if "scipy" in sys.modules:
        yield
        return
    optimize = stand_in("scipy.optimize")
    scipy = stand_in("scipy", optimize=optimize, __path__=[])
    sys.modules["scipy"], sys.modules["scipy.optimize"] = scipy, optimize
    try:
        yield
    finally:
        sys.modules.pop("scipy", None)
        sys.modules.pop("scipy.optimize", None)


def _stand_in_for_accelerate_fsdp() -> None:
    """accelerate imports torch.distributed.checkpoint for sharded training: seconds for nothing."""

    def not_available(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("Sharded training is not available in this process.")

    name = "accelerate.utils.fsdp_utils"
    if name not in sys.modules:
        functions = ("load_fsdp_model", "load_fsdp_optimizer", "save_fsdp_model")
        names = (*functions, "save_fsdp_optimizer")
        sys.modules[name] = stand_in(name, **dict.fromkeys(names, not_available))


def _stand_in_for_speedtest() -> None:
    """Without speedtest-cli, Petals then takes its 100 Mbit/s default, and says so in the log."""
    if is_installed("speedtest"):
        return

    class Speedtest:
        def __init__(self, *_args: Any, **_kwargs: Any) -> None:
            raise RuntimeError("speedtest-cli is not installed")

    sys.modules["speedtest"] = stand_in("speedtest", Speedtest=Speedtest)


def _stand_in_for_peft() -> None:
    """Petals imports its adapters module with every block, and that imports peft and bitsandbytes.

    Without adapters only the `using_adapter` context manager is called.
    """

    @contextlib.contextmanager
    def using_adapter(active_adapter: str | None) -> Iterator[None]:
        if active_adapter:
            raise RuntimeError("This server has no adapters.")
        yield

    name = "petals.utils.peft"
    if name not in sys.modules:
        sys.modules[name] = stand_in(name, using_adapter=using_adapter)


def _replace_version_check() -> None:
    """Petals asks PyPI for a newer release at each start, without a timeout; the pins are ours."""
    version = importlib.import_module("petals.utils.version")
    version.validate_version = lambda: None  # type: ignore[attr-defined]
