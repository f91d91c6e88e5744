"""Options of Petals' own command line that have none of their own here, checked one by one.

Written for petals 2.2.0 (cli/run_server.py); what its program does besides handing an option to
`petals.server.server.Server` is done in `server_arguments`. Nothing is imported for the checks.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from argument_types import disk_space, number, revision, whole_number

_DAY_S, _WEEK_S = 86_400, 604_800
_TOKENS = 10_000_000
# hivemind's others fail with the pinned numpy, or need bitsandbytes on both sides.
_COMPRESSIONS = ("none", "float16", "meanstd_16bit")
# Those that the runner's own options have too, and those that it does something with itself.
OWN = ("num_handlers", "max_disk_space", "update_period", "request_timeout")
_NOT_THE_SERVERS = ("increase_file_limit", *OWN)
FILE_LIMIT = 4096


def petals_option(text: str) -> tuple[str, Any]:
    """The name and the value of `name=value`."""
    name, equals, value = text.partition("=")
    if name not in TYPES or not equals:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give NAME=VALUE with one of {', '.join(sorted(TYPES))}."
        )
    try:
        return name, TYPES[name](value)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None


def server_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as arguments of Petals' `Server`; hivemind is imported already."""
    arguments = {name: value for name, value in given.items() if name not in _NOT_THE_SERVERS}
    if "daemon_startup_timeout" in arguments:
        arguments["startup_timeout"] = arguments.pop("daemon_startup_timeout")
    if "no_auto_relay" in arguments:
        arguments["use_auto_relay"] = not arguments.pop("no_auto_relay")
    if "compression" in arguments:
        kinds = importlib.import_module("hivemind.proto.runtime_pb2").CompressionType
        arguments["compression"] = kinds.Value(arguments["compression"].upper())
    return arguments


def missing_device(given: Mapping[str, Any], devices: int) -> str:
    """A sentence about a device to split blocks between that is not among these many."""
    for name in given.get("tensor_parallel_devices", ()):
        if int(name.partition(":")[2]) >= devices:
            return f"tensor_parallel_devices {name}: there are {devices} CUDA devices."
    return ""


def compression_problem(
    given: Mapping[str, Any], dtype: str, checkpoint: object, device_type: str
) -> str:
    """A sentence where answers in this number format cannot be compressed.

    `dtype` as Petals is given it, `checkpoint` the format of the weights. Petals serves float32
    weights as bfloat16 where it is left to it, and on Apple's GPU float16 in place of that.
    """
    name = given.get("compression", "none")
    auto = dtype == "auto" and "float16" not in str(checkpoint).replace("bfloat16", "")
    if name == "none" or device_type == "mps" or not (auto or dtype == "bfloat16"):
        return ""
    return (
        f"compression {name} takes no bfloat16: give --torch-dtype float32, or float16 on a GPU,"
        " or none of it."
    )


def _flag(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give true or false.")


def _compression(text: str) -> str:
    if text in _COMPRESSIONS:
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give one of {', '.join(_COMPRESSIONS)}."
    )


def _file(text: str) -> str:
    if Path(text).is_file():
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: there is no such file where the server runs."
    )


def _words(form: str, example: str) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split()
        if words and all(re.fullmatch(form, word) for word in words):
            return words
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give {example}, with blanks between several."
        )

    return parse


def _adapters(text: str) -> list[str]:
    form = r"[A-Za-z0-9][\w.-]*/[\w.-]+|~?/\S+"
    words = _words(form, "Hugging Face ids or whole paths of folders")(text)
    return [str(Path(word).expanduser()) if word[0] in "~/" else word for word in words]


_SECONDS = number(1, _WEEK_S)

TYPES: Mapping[str, Callable[[str], Any]] = {
    "adapters": _adapters,
    "balance_quality": number(0, 100),
    "compression": _compression,
    "custom_module_path": _file,
    "daemon_startup_timeout": number(1, 3600),
    "expiration": number(1, _DAY_S),
    "increase_file_limit": whole_number(0, 2**20),
    "inference_max_length": whole_number(1, _TOKENS),
    "max_alloc_timeout": number(0, _WEEK_S),
    "max_batch_size": whole_number(1, _TOKENS),
    "max_chunk_size_bytes": whole_number(1024),
    "max_disk_space": disk_space,
    "mean_balance_check_period": number(0, _DAY_S, above_low=True),
    "min_batch_size": whole_number(1, _TOKENS),
    "no_auto_relay": _flag,
    "num_handlers": whole_number(1, 64),
    "prefetch_batches": whole_number(1, 64),
    "request_timeout": _SECONDS,
    "revision": revision,
    "sender_threads": whole_number(1, 64),
    "session_timeout": _SECONDS,
    "skip_reachability_check": _flag,
    "stats_report_interval": whole_number(1, _DAY_S),
    "step_timeout": _SECONDS,
    "tensor_parallel_devices": _words(r"cuda:\d{1,2}", "devices such as cuda:0"),
    "update_period": number(1, 3600),
}
