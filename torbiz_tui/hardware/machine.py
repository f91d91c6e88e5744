"""The machine as a whole."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torbiz_tui.hardware.cgroups import CgroupLimits, cgroup_limits
from torbiz_tui.hardware.gpus import Gpu, find_gpus, names

_DISK_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Hardware:
    """A machine's means, as far as this process may use them; sizes in bytes.

    `memory_limited` says that a control group leaves less memory than the machine has, and
    `memory_virtual` that the memory is that of a virtual machine in which containers run. `disk_free`
    is of the folder that was asked about, None without one. `problems` say what could not be found
    out.
    """

    cores: int
    memory: int
    memory_available: int
    memory_limited: bool = False
    memory_virtual: bool = False
    gpus: tuple[Gpu, ...] = ()
    disk_free: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def gpu(self) -> str:
        """The name of the first GPU; empty without one."""
        return self.gpus[0].name if self.gpus else ""

    def sentence(self) -> str:
        """The machine in a line."""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        limited = " (limited by its control group)" if self.memory_limited else ""
        return f"{cores}, {self.memory / 2**30:.0f} GiB of memory{limited}, {names(self.gpus)}"


def as_containers_see(machine: Hardware, memory: int | None) -> Hardware:
    """The machine with no more than the memory (bytes) that its container engine tells of.

    On a Mac, and with Docker Desktop, that is a virtual machine's, much less than there is. None
    where no engine hosts, or it tells nothing.
    """
    if memory is None or memory >= machine.memory:
        return machine
    available = min(machine.memory_available, memory)
    return replace(machine, memory=memory, memory_available=available, memory_virtual=True)


def look(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> Hardware:
    """Look at this machine, and at the disk of a folder.

    It blocks while the programs of the GPUs' drivers answer, each for some seconds at most.
    """
    import psutil

    limits = cgroup_limits()
    memory = psutil.virtual_memory()
    gpus, problems = find_gpus(environ)
    return _limited(
        Hardware(
            cores=_cores(),
            memory=memory.total,
            memory_available=memory.available,
            gpus=tuple(gpus),
            disk_free=_disk_free(folder) if folder is not None else None,
            problems=tuple(problems),
        ),
        limits,
    )


def _limited(machine: Hardware, limits: CgroupLimits) -> Hardware:
    """The machine with less of what a control group keeps back."""
    if limits.cpus is not None:
        machine = replace(machine, cores=max(1, min(machine.cores, round(limits.cpus))))
    if limits.memory is not None and limits.memory < machine.memory:
        machine = replace(machine, memory=limits.memory, memory_limited=True)
    if limits.memory_left is not None:
        available = min(machine.memory_available, limits.memory_left)
        machine = replace(machine, memory_available=available)
    unified = (
        replace(gpu, memory=machine.memory, memory_free=machine.memory_available)
        if gpu.unified
        else gpu
        for gpu in machine.gpus
    )
    return replace(machine, gpus=tuple(unified))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _disk_free(folder: Path) -> int | None:
    """The space that is free for this user where the folder is or would be.

    None when nothing says so in time, as with a network's disk whose server is gone.
    """
    answer: list[int] = []

    def ask() -> None:
        import psutil

        for place in (folder, *folder.absolute().parents):
            try:
                answer.append(int(psutil.disk_usage(str(place)).free))
            except FileNotFoundError:
                continue
            except OSError:
                return
            return

    asking = threading.Thread(target=ask, name="free disk", daemon=True)
    asking.start()
    asking.join(_DISK_TIMEOUT_S)
    return answer[0] if answer else None
