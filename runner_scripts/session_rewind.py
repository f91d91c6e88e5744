"""Lets a Petals 2.2.0 server set an inference session back, as Petals' main branch does.

A step's metadata may carry `start_from_position`: the attention cache counts up to there, and what
follows is overwritten. The server tells clients by the local part of its version, `+rewind`.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

LABEL = "rewind"
_LOOP = "    async for request, step_metadata in input_iterator:\n"
_REWIND = "        prefix_length = position_of_step(step_metadata, prefix_length)\n"


def let_sessions_rewind() -> None:
    """Change the server's code in this process; call it after petals is imported.

    Raises RuntimeError when Petals is another one than this was written for.
    """
    petals: Any = importlib.import_module("petals")
    functions: Any = importlib.import_module("petals.server.block_functions")
    handler: Any = importlib.import_module("petals.server.handler")
    source = inspect.getsource(functions.iterate_rpc_inference)
    if "start_from_position" in source:
        return
    if source.count(_LOOP) != 1:
        raise RuntimeError("This Petals' iterate_rpc_inference is not that of 2.2.0.")
    # The position is a local variable of a long coroutine: one line more is the smallest change.
    code = compile(source.replace(_LOOP, _LOOP + _REWIND), "petals+rewind", "exec")
    functions.position_of_step = position_of_step
    exec(code, functions.__dict__)
    handler.iterate_rpc_inference = functions.iterate_rpc_inference
    petals.__version__ = f"{petals.__version__}+{LABEL}"


def position_of_step(metadata: dict[str, Any], position: int) -> int:
    """Return where a step begins, in tokens; raises ValueError for one that is not held."""
    start = metadata.get("start_from_position")
    if start is None:
        return position
    if not isinstance(start, int) or not 0 <= start <= position:
        raise ValueError(f"start_from_position is {start}; accepted is 0 to {position}.")
    return start
