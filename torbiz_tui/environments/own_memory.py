"""How much memory processes have of their own, at a bounded cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# Linux goes through every page for the exact figure, some 20 ms a gigabyte, and holds up meanwhile
# what the process itself wants to change of its memory: it may take a hundredth of the time.
_PAUSE_PER_COST = 100


class OwnMemory:
    """Resident bytes of processes; pages that forked ones share count once among them (Linux).

    Between two exact readings of a process it grows and shrinks with its resident set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[int, tuple[int, int, float]] = {}

    def of(self, process: psutil.Process) -> int:
        """The bytes of a process now. Raises psutil.Error when it is gone."""
        resident = int(process.memory_info().rss)
        if sys.platform != "linux":
            return resident
        own, resident_then, again_at = self._read.get(process.pid, (0, 0, 0.0))
        begun = self._clock()
        if begun < again_at:
            return max(0, own + resident - resident_then)
        own = int(process.memory_full_info().pss)
        cost = self._clock() - begun
        self._read[process.pid] = (own, resident, begun + cost * (1 + _PAUSE_PER_COST))
        return own

    def keep_only(self, pids: set[int]) -> None:
        """Forget all other processes."""
        self._read = {pid: read for pid, read in self._read.items() if pid in pids}
