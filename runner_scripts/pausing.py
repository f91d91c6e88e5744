"""When a hosted server pauses: outside of given hours, on the battery, while others need the machine."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from others_load import OthersLoad

POWER_SUPPLIES = Path("/sys/class/power_supply")
_PMSET_TIMEOUT_S = 5.0
_HOURS = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Hours:
    """A span of the day in minutes after midnight, local time; `end` may be on the next day."""

    first: int
    end: int
    text: str

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Read `22:00-07:00`. Raises ValueError for anything else."""
        match = _HOURS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} are no hours such as 22:00-07:00")
        hours = [int(part) for part in match.groups()]
        first, end = 60 * hours[0] + hours[1], 60 * hours[2] + hours[3]
        if max(hours[0], hours[2]) > 23 or max(hours[1], hours[3]) > 59 or first == end:
            raise ValueError(f"{text!r} are no hours such as 22:00-07:00")
        return cls(first, end, text)

    def contain(self, minute: int) -> bool:
        """Whether a minute of the day is within them."""
        if self.first < self.end:
            return self.first <= minute < self.end
        return minute >= self.first or minute < self.end


def on_battery(supplies: Path = POWER_SUPPLIES) -> bool:
    """Whether the machine runs on its battery; False where that is not known."""
    if sys.platform == "darwin":
        return _pmset_says_battery()
    discharging = False
    try:
        for supply in supplies.iterdir():
            kind = _read(supply / "type")
            if kind in ("Mains", "USB") and _read(supply / "online") == "1":
                return False
            # Not the battery of a mouse.
            if kind == "Battery" and _read(supply / "scope") != "Device":
                discharging = discharging or _read(supply / "status") == "Discharging"
    except OSError:
        return False
    return discharging


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def _pmset_says_battery() -> bool:
    try:
        done = subprocess.run(
            ["pmset", "-g", "batt"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PMSET_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "'Battery Power'" in done.stdout


class Conditions:
    """What a person has allowed; without any, the server never pauses."""

    def __init__(
        self,
        hours: Hours | None,
        *,
        mains_only: bool,
        others: OthersLoad | None = None,
        now: Callable[[], time.struct_time] = time.localtime,
    ) -> None:
        self._hours = hours
        self._mains_only = mains_only
        self._others = others
        self._now = now

    @property
    def any(self) -> bool:
        """Whether there is anything to look at."""
        return self._hours is not None or self._mains_only or self._others is not None

    def reason(self) -> str:
        """Why the server has to pause now; empty when it may serve."""
        now = self._now()
        if self._hours is not None and not self._hours.contain(60 * now.tm_hour + now.tm_min):
            return f"it serves at {self._hours.text} only"
        if self._mains_only and on_battery():
            return "the machine runs on its battery"
        if self._others is not None and self._others.too_high():
            return f"other programs use more than {self._others.percent:g}% of the processors"
        return ""
