"""Imports the whole Petals stack and says, as JSON lines on stdout, whether it works.

Usage: check_stack.py. Lines `{"type":"progress","detail":…}`, then one
`{"type":"result","ok":true,"versions":{…},"devices":[…]}` (exit 0), or
`{"type":"result","ok":false,"error":…}` (exit 1).
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import traceback
from typing import Any

from json_lines import ProtocolWriter


def main() -> int:
    """Run the check and return the exit code."""
    argparse.ArgumentParser(
        description="Imports the Petals stack and reports, as JSON lines, whether it works."
    ).parse_args()
    writer = ProtocolWriter.take_stdout()

    def progress(detail: str) -> None:
        writer.write({"type": "progress", "detail": detail})

    try:
        result = _check(progress)
    except BaseException as error:
        traceback.print_exc()
        sentence = " ".join(str(error).split()) or "no further detail"
        sentence = f"{type(error).__name__} while importing the Petals stack: {sentence}"
        writer.write({"type": "result", "ok": False, "error": sentence})
        return 1
    writer.write(result)
    return 0


def _check(progress: Any) -> dict[str, Any]:
    import petals_compat

    petals_compat.apply("server", progress=progress)
    progress("importing the server")
    importlib.import_module("petals.server.server")
    progress("importing the client")
    importlib.import_module("petals.client")
    progress("looking for devices")
    names = ("torch", "petals", "hivemind", "transformers")
    versions = {"python": platform.python_version()}
    versions |= {name: str(importlib.import_module(name).__version__) for name in names}
    return {"type": "result", "ok": True, "versions": versions, "devices": _devices()}


def _devices() -> list[str]:
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        indices = range(torch.cuda.device_count())
        devices += [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in indices]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Interpreter shutdown of this stack takes a noticeable time and has nothing left to do.
    os._exit(code)
