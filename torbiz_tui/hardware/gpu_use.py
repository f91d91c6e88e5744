"""How busy a graphics processor is: all programs on it together, as its driver tells."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.hardware.gpus import NVIDIA_TIMEOUT_S, WSL_SMI, nvidia_gpu, visible_rows
from torbiz_tui.hardware.programs import ProbeError, output_of

_QUERY = ("index", "uuid", "utilization.gpu", "memory.used", "memory.total")
_MIB = 2**20


@dataclass(frozen=True)
class GpuUse:
    """One moment of a GPU: percent of the time that it computed, and bytes of its memory."""

    percent: float
    memory: int | None = None
    memory_total: int | None = None


def gpu_use(number: int, environ: Mapping[str, str], root: Path = Path("/")) -> GpuUse | None:
    """The GPU that a program started here counts as `number`; None where nobody tells."""
    if nvidia_gpu():
        return _nvidia_use(number, environ)
    return read_amd_use(number, root)


def _nvidia_use(number: int, environ: Mapping[str, str]) -> GpuUse | None:
    program = shutil.which("nvidia-smi") or (str(WSL_SMI) if WSL_SMI.exists() else None)
    if program is None:
        return None
    command = [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        output = output_of(command, NVIDIA_TIMEOUT_S)
    except ProbeError:
        return None
    return read_nvidia_use(output, number, environ.get("CUDA_VISIBLE_DEVICES"))


def read_nvidia_use(output: str, number: int, visible: str | None = None) -> GpuUse | None:
    """The use of one GPU in nvidia-smi's table; see `visible_rows` for the numbers."""
    rows = visible_rows(output, len(_QUERY), visible)
    if not 0 <= number < len(rows):
        return None
    _, _, percent, used, total = rows[number]
    if not percent.isdecimal():
        return None
    memory = int(used) * _MIB if used.isdecimal() else None
    return GpuUse(float(percent), memory, int(total) * _MIB if total.isdecimal() else None)


def read_amd_use(number: int, root: Path = Path("/")) -> GpuUse | None:
    """The use of one GPU of the kernel driver amdgpu, which tells it in files."""
    devices = [
        file.parent for file in sorted(root.glob("sys/class/drm/card*/device/gpu_busy_percent"))
    ]
    if not 0 <= number < len(devices):
        return None
    values = [_number(devices[number] / name) for name in _AMD_FILES]
    return None if values[0] is None else GpuUse(float(values[0]), values[1], values[2])


_AMD_FILES = ("gpu_busy_percent", "mem_info_vram_used", "mem_info_vram_total")


def _number(file: Path) -> int | None:
    try:
        text = file.read_text("ascii", "replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and len(text) < 20 else None
