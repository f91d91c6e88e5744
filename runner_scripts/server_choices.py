"""What a server's options mean on this machine: its device, number format, blocks, processes."""

from __future__ import annotations

import os
from typing import Any


class StartError(Exception):
    """The server cannot start; the text is the one line to print."""


def choose_device(name: str, torch: Any) -> Any:
    """The device of that name; `auto` takes a GPU where there is one. Raises StartError."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        if not cuda:
            raise StartError(f"--device {name}: this machine has no usable CUDA device.")
        device = torch.device("cuda", device.index or 0)
        if device.index >= torch.cuda.device_count():
            raise StartError(
                f"--device {name}: there are {torch.cuda.device_count()} CUDA devices."
            )
    if device.type == "mps" and not mps:
        raise StartError("--device mps: Metal is not available on this machine.")
    return device


def choose_dtype(name: str, config: Any, device: Any, torch: Any) -> str:
    """The number format to give Petals. Raises StartError.

    Petals turns float32 checkpoints into bfloat16, and float16 does not run on a CPU.
    """
    if device.type != "cpu":
        return name
    if name == "float16":
        raise StartError("--torch-dtype float16 does not run on a CPU: give float32 or bfloat16.")
    if name == "auto":
        return "float32" if config.torch_dtype in (None, torch.float32) else "bfloat16"
    return name


def choose_blocks(blocks: Any, total: int, device_type: str) -> dict[str, Any]:
    """The arguments of Petals' `Server` for which blocks, or how many. Raises StartError."""
    if blocks == "auto":
        if device_type != "cpu":
            return {"num_blocks": None}  # Petals fills the device's memory
        blocks = (0, total)
    if isinstance(blocks, int):
        if blocks < total:
            return {"num_blocks": blocks}
        blocks = (0, total)
    first, end = blocks
    if end > total:
        raise StartError(f"--blocks {first}:{end}: the model has blocks 0 to {total - 1} only.")
    return {"block_indices": f"{first}:{end}"}


def default_handlers(device_type: str) -> int:
    """Each handler is a forked process; on a small CPU more of them only take its memory."""
    return min(4, max(2, os.cpu_count() or 2)) if device_type == "cpu" else 8
