"""Seconds as a person's machine would count them, on one that runs other tests beside."""

from __future__ import annotations

import re
import time
from pathlib import Path

SLOWER = 3.0
"""How many times longer something may take for others' sake."""

_PRESSURE = Path("/proc/pressure/cpu")


class Stopwatch:
    """Counts from its making; what the program promises in seconds is compared with it.

    The time in which somebody had to wait for a processor is left out, as the kernel counts it
    (docs.kernel.org/accounting/psi.html), down to a third of the whole: on an idle machine, and
    where the kernel does not tell, these are the clock's seconds.
    """

    def __init__(self) -> None:
        self._began, self._waited = time.monotonic(), _waited_s()

    @property
    def seconds(self) -> float:
        """Seconds until now."""
        whole = time.monotonic() - self._began
        return max(whole - (_waited_s() - self._waited), whole / SLOWER)


def _waited_s() -> float:
    try:
        told = re.search(r"^some .*total=(\d+)", _PRESSURE.read_text("utf-8"), re.MULTILINE)
    except OSError:
        return 0.0
    return int(told[1]) / 1e6 if told else 0.0
