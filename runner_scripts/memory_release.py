"""Gives the memory back that a long prompt took while it was computed (glibc).

The C library keeps what is freed, in pieces between the attention caches of sessions that go on: a
server of ten blocks held 2.4 times its cache. What a prompt computes is the large part of it; the
steps of one token each, which are to be fast, are left alone.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

# A prompt of fewer tokens takes little.
LONG_PROMPT = 128


def release_after_prompts() -> None:
    """Change hivemind's runtime in this process; call it after hivemind is imported."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:  # macOS and musl have no such call
        return
    runtime: Any = importlib.import_module("hivemind.moe.server.runtime").Runtime
    compute: Callable[..., Any] = runtime.process_batch

    def process_batch(own: Any, pool: Any, index: int, *batch: Any) -> Any:
        try:
            return compute(own, pool, index, *batch)
        finally:
            sequences, length, *_ = batch[0].shape
            if sequences * length >= LONG_PROMPT:
                trim(0)

    runtime.process_batch = process_batch
