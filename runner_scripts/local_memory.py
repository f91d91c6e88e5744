"""How much memory this process can still take, in bytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Return what the machine has left, or the control group (a container, a unit) if less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    if sys.platform == "linux":
        return min([free, *_left_in_groups(_CGROUPS, Path("/proc/self/cgroup"))])
    return free


def _left_in_groups(root: Path, membership: Path) -> list[int]:
    """Return what each limit above this process leaves; both versions of control groups."""
    try:
        lines = membership.read_text("utf-8").splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, limit, used, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top = root / "memory"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = Path(os.path.normpath(f"{top}/{path}"))
        # In a container the path may be the host's, and its own group is the top.
        folders = [one for one in [group, *group.parents] if one.is_relative_to(top)]
        left += [
            rest for folder in folders if (rest := _left(folder, limit, used, cache)) is not None
        ]
    return left


def _left(folder: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        most = (folder / limit).read_text("ascii").strip()
        if most == "max":
            return None
        taken = int((folder / used).read_text("ascii"))
        facts = dict(
            line.split(" ", 1) for line in (folder / "memory.stat").read_text("ascii").splitlines()
        )
        # What only speeds up reading files is given up first.
        return max(0, int(most) - taken + int(facts.get(cache, 0)))
    except (OSError, ValueError):
        return None
