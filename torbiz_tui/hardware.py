"""What this machine has: processors, memory, graphics processors."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hardware:
    """A machine's means; memory in bytes, `gpu` is a name or empty."""

    cores: int
    memory: int
    gpu: str

    def sentence(self) -> str:
        """The machine in a line."""
        gpu = self.gpu or "no NVIDIA GPU"
        return f"{self.cores} cores, {self.memory / 2**30:.0f} GiB of memory, {gpu}"


def nvidia_gpu() -> str:
    """The driver's name for the first NVIDIA GPU, or an empty string without one.

    It reads what the kernel driver shows and starts no program, so it costs next to nothing.
    """
    if sys.platform != "linux":
        return ""
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            for line in information.read_text("utf-8", "replace").splitlines():
                if line.startswith("Model:"):
                    return line.partition(":")[2].strip()
        except OSError:
            continue
    # WSL has no /proc/driver/nvidia; its driver is behind this device.
    return "NVIDIA GPU" if Path("/dev/nvidia0").exists() or _wsl_gpu() else ""


def _wsl_gpu() -> bool:
    return Path("/dev/dxg").exists() and Path("/usr/lib/wsl/lib/libcuda.so.1").exists()


def look() -> Hardware:
    """Look at this machine."""
    import psutil

    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return Hardware(cores, psutil.virtual_memory().total, nvidia_gpu())
