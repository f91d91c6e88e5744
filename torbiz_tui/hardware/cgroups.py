"""What a control group leaves of the machine: the limits of a container, a service, a session.

Version 2 is read as in the kernel's `Documentation/admin-guide/cgroup-v2.rst`, version 1 as in its
`cgroup-v1/memory.rst`. A limit of any group above holds too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Version 1 says "no limit" with the largest number of pages; more memory than this there is not.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class CgroupLimits:
    """Memory in bytes; None where nothing is limited.

    `memory_left` is what may still be taken before a limit is met, with what the kernel gives back
    first (file pages that were not used lately). `cpus` is processor time by time.
    """

    memory: int | None = None
    memory_left: int | None = None
    cpus: float | None = None


def cgroup_limits(root: Path = Path("/")) -> CgroupLimits:
    """The limits that hold for this process; `root` is where `proc` and `sys` are."""
    memory: list[int] = []
    left: list[int] = []
    cpus: list[float] = []
    for version, controllers, base, group in _memberships(root):
        for folder in _upwards(base, group):
            if version == 2 or "memory" in controllers:
                limit = _memory_limit(folder, version)
                if limit is not None:
                    memory.append(limit)
                    left.append(max(0, limit - _memory_used(folder, version)))
            if version == 2 or "cpu" in controllers:
                share = _cpu_limit(folder, version)
                if share is not None:
                    cpus.append(share)
    return CgroupLimits(min(memory, default=None), min(left, default=None), min(cpus, default=None))


def _memberships(root: Path) -> Iterator[tuple[int, tuple[str, ...], Path, str]]:
    """The version, controllers, mount and path of each group that this process is in."""
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        if number == "0" and not names:
            # Where version 1 is in use too, version 2 may be mounted beside it, without controllers.
            pure = (mounts / "cgroup.controllers").exists()
            yield 2, (), mounts if pure else mounts / "unified", group
            continue
        controllers = tuple(names.split(","))
        for wanted in ("memory", "cpu"):
            if wanted in controllers:
                yield 1, (wanted,), mounts / wanted, group


def _upwards(base: Path, group: str) -> Iterator[Path]:
    """The folder of a group, then those above it up to the mount."""
    parts = [part for part in group.split("/") if part]
    # Seen from within a container the path can lead out of what is mounted here.
    if ".." in parts or not base.joinpath(*parts).is_dir():
        parts = []
    for count in range(len(parts), -1, -1):
        yield base.joinpath(*parts[:count])


def _memory_limit(folder: Path, version: int) -> int | None:
    if version == 2:
        return _number(_text(folder / "memory.max"))
    found = _number(_text(folder / "memory.limit_in_bytes"))
    # The tightest limit above, also of groups that are not visible from here.
    above = _statistic(folder, "hierarchical_memory_limit")
    limits = [limit for limit in (found, above) if limit is not None and limit < _NO_LIMIT]
    return min(limits, default=None)


def _memory_used(folder: Path, version: int) -> int:
    if version == 2:
        used = _number(_text(folder / "memory.current"))
        given_back = _statistic(folder, "inactive_file")
    else:
        used = _number(_text(folder / "memory.usage_in_bytes"))
        given_back = _statistic(folder, "total_inactive_file")
    return max(0, (used or 0) - (given_back or 0))


def _cpu_limit(folder: Path, version: int) -> float | None:
    if version == 2:
        words = _text(folder / "cpu.max").split()
        quota, period = (words[0], words[1]) if len(words) == 2 else ("", "")
    else:
        quota = _text(folder / "cpu.cfs_quota_us")
        period = _text(folder / "cpu.cfs_period_us")
    time, out_of = _number(quota), _number(period)
    if not time or not out_of:
        return None
    share = time / out_of
    return share if math.isfinite(share) else None


def _statistic(folder: Path, name: str) -> int | None:
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value)
    return None


def _number(text: str) -> int | None:
    """A count; None for `max`, for -1, and for what is no number."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
