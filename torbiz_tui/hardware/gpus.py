"""The graphics processors of a machine, and their memory."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torbiz_tui.hardware.programs import ProbeError, output_of

NVIDIA_TIMEOUT_S = 5.0
AMD_TIMEOUT_S = 5.0
# It loads what describes every screen; 1 to 3 s are usual.
APPLE_TIMEOUT_S = 10.0

_MIB = 2**20
WSL_SMI = Path("/usr/lib/wsl/lib/nvidia-smi")
_NVIDIA_QUERY = ("index", "uuid", "name", "memory.total", "memory.free")
_AMD_VENDOR = "0x1002"
_CARD = re.compile(r"card:?(\d+)$")
_VRAM = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT])B$")


@dataclass(frozen=True)
class Gpu:
    """A graphics processor; memory in bytes, None when it is not known.

    `vendor` is nvidia, amd or apple. `index` is its number among those of the vendor that a program
    sees here. `unified` says that its memory is that of the machine.
    """

    vendor: str
    name: str
    memory: int | None
    memory_free: int | None
    index: int = 0
    unified: bool = False


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


def find_gpus(environ: Mapping[str, str]) -> tuple[list[Gpu], list[str]]:
    """The GPUs that a program started here would see, and what could not be found out, in words."""
    found: list[Gpu] = []
    problems: list[str] = []
    probes: list[Callable[[], list[Gpu]]] = [partial(nvidia_gpus, environ), amd_gpus]
    if sys.platform == "darwin":
        probes = [apple_gpus]
    for probe in probes:
        try:
            found += probe()
        except ProbeError as error:
            problems.append(str(error))
    if not any(gpu.vendor == "nvidia" for gpu in found) and (name := _unseen_nvidia(environ)):
        found.insert(0, Gpu("nvidia", name, None, None))
        if not any("nvidia-smi" in problem for problem in problems):
            problems.append(f"nvidia-smi was not found, so the memory of {name} is unknown.")
    return found, problems


def _unseen_nvidia(environ: Mapping[str, str]) -> str:
    """The GPU that the driver has while nvidia-smi says nothing of any."""
    return "" if environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") else nvidia_gpu()


def nvidia_gpus(environ: Mapping[str, str]) -> list[Gpu]:
    """The NVIDIA GPUs, as nvidia-smi tells. Raises ProbeError when it says nothing."""
    program = shutil.which("nvidia-smi") or (str(WSL_SMI) if WSL_SMI.exists() else None)
    if program is None:
        return []
    query = ",".join(_NVIDIA_QUERY)
    command = [program, f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    return read_nvidia_smi(
        output_of(command, NVIDIA_TIMEOUT_S), environ.get("CUDA_VISIBLE_DEVICES")
    )


def read_nvidia_smi(output: str, visible: str | None = None) -> list[Gpu]:
    """The GPUs in its table of index, uuid, name, memory and free memory (MiB).

    `visible` is CUDA_VISIBLE_DEVICES, in whose order they are then counted.
    """
    found: list[Gpu] = []
    for number, cells in enumerate(visible_rows(output, len(_NVIDIA_QUERY), visible)):
        index, _uuid, name, total, free = cells
        memory, memory_free = _mebibytes(total), _mebibytes(free)
        # GB10 and Jetson share the machine's memory, and say "[N/A]" to both.
        number = int(index) if visible is None else number
        found.append(Gpu("nvidia", name, memory, memory_free, number, unified=memory is None))
    return found


def visible_rows(output: str, columns: int, visible: str | None) -> list[list[str]]:
    """The rows of a table of nvidia-smi that begins with index and uuid, as a program counts them.

    `visible` is CUDA_VISIBLE_DEVICES: numbers or the beginnings of uuids, up to the first that is
    none; None shows all.
    """
    split = ([cell.strip() for cell in line.split(",")] for line in output.splitlines())
    rows = [cells for cells in split if len(cells) == columns and cells[0].isdecimal()]
    if visible is None:
        return rows
    chosen: list[list[str]] = []
    for word in visible.split(","):
        match = [cells for cells in rows if _is_meant(word.strip(), cells[0], cells[1])]
        if len(match) != 1:
            break
        chosen += match
    return chosen


def _is_meant(wanted: str, index: str, uuid: str) -> bool:
    return wanted == index or (wanted.startswith("GPU-") and uuid.startswith(wanted))


def amd_gpus(root: Path = Path("/")) -> list[Gpu]:
    """The AMD GPUs, as rocm-smi tells, or the kernel. Raises ProbeError when rocm-smi fails."""
    seen = read_amd_sysfs(root)
    program = shutil.which("rocm-smi")
    if program is None or not seen:
        return seen
    command = [program, "--showproductname", "--showmeminfo", "vram", "--json"]
    return read_rocm_smi(output_of(command, AMD_TIMEOUT_S)) or seen


def read_rocm_smi(output: str) -> list[Gpu]:
    """The GPUs in its JSON, which warnings can precede."""
    try:
        cards = json.loads(output[output.index("{") :])
    except ValueError as error:
        raise ProbeError("rocm-smi printed no JSON.") from error
    found: dict[int, Gpu] = {}
    for key, facts in cards.items() if isinstance(cards, dict) else ():
        number = _CARD.match(key)
        if number is None or not isinstance(facts, dict):
            continue
        total = _bytes(facts.get("VRAM Total Memory (B)"))
        used = _bytes(facts.get("VRAM Total Used Memory (B)"))
        free = total - used if total is not None and used is not None else None
        # Older ones write "Card series".
        name = str(facts.get("Card Series") or facts.get("Card series") or "AMD GPU")
        found[int(number[1])] = Gpu("amd", name, total, free)
    return [replace(found[number], index=index) for index, number in enumerate(sorted(found))]


def read_amd_sysfs(root: Path = Path("/")) -> list[Gpu]:
    """The GPUs of the kernel driver amdgpu, which shows their memory in files."""
    found: list[Gpu] = []
    cards = (
        (int(match[1]), folder)
        for folder in (root / "sys/class/drm").glob("card*")
        if (match := _CARD.match(folder.name))
    )
    for _, folder in sorted(cards):
        device = folder / "device"
        total = _bytes(_line(device / "mem_info_vram_total"))
        if _line(device / "vendor") != _AMD_VENDOR or total is None:
            continue
        used = _bytes(_line(device / "mem_info_vram_used"))
        name = _line(device / "product_name") or f"AMD GPU {_line(device / 'device')}".rstrip()
        free = total - used if used is not None else None
        found.append(Gpu("amd", name, total, free, len(found)))
    return found


def apple_gpus() -> list[Gpu]:
    """The GPUs of a Mac. Raises ProbeError when it is not described."""
    command = ["/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"]
    try:
        return read_system_profiler(output_of(command, APPLE_TIMEOUT_S))
    except ProbeError:
        if platform.machine() == "arm64":
            return [Gpu("apple", "Apple GPU", None, None, unified=True)]
        raise


def read_system_profiler(output: str) -> list[Gpu]:
    """The GPUs in its JSON. Those of Apple share the machine's memory, and have no size there."""
    try:
        described = json.loads(output)
    except ValueError as error:
        raise ProbeError("system_profiler printed no JSON.") from error
    entries = described.get("SPDisplaysDataType") if isinstance(described, dict) else None
    found: list[Gpu] = []
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        name = str(entry.get("sppci_model") or entry.get("_name") or "GPU")
        maker = f"{entry.get('spdisplays_vendor', '')} {name}".casefold()
        vendor = next((each for each in ("apple", "amd", "nvidia") if each in maker), "")
        if vendor:
            number = sum(gpu.vendor == vendor for gpu in found)
            unified = vendor == "apple"
            memory = None if unified else _vram(entry)
            found.append(Gpu(vendor, name, memory, None, number, unified))
    return found


def _vram(entry: Mapping[str, Any]) -> int | None:
    match = _VRAM.match(str(entry.get("spdisplays_vram", "")).strip())
    if match is None:
        return None
    return int(float(match[1]) * _MIB * 1024 ** "MGT".index(match[2]))


def _mebibytes(text: str) -> int | None:
    return int(text) * _MIB if text.isdecimal() and len(text) < 12 else None


def _bytes(value: object) -> int | None:
    text = str(value).strip()
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _line(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def names(gpus: Sequence[Gpu]) -> str:
    """The GPUs in words: `2 x NVIDIA A100`, `no GPU`."""
    counted: dict[str, int] = {}
    for gpu in gpus:
        size = f" ({gpu.memory / 2**30:.0f} GiB)" if gpu.memory and not gpu.unified else ""
        counted[gpu.name + size] = counted.get(gpu.name + size, 0) + 1
    each = [f"{count} x {name}" if count > 1 else name for name, count in counted.items()]
    return ", ".join(each) or "no GPU"
