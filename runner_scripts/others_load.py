"""How much of the machine's processors other programs use than a server and its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")
# So long they must be busy before the server pauses, and quiet before it goes on.
BUSY_S = 60.0
QUIET_S = 180.0
# Of the limit: below that part they are quiet. Between the two nothing changes.
QUIET_PART = 2 / 3
_PS_TIMEOUT_S = 5.0
# In a line of /proc/stat: user nice system idle iowait irq softirq steal.
_IDLE, _WAITING, _COUNTED = 3, 4, 8
# In /proc/PID/stat behind the name: the session, then own and reaped children's ticks.
_SESSION, _TICKS = 3, slice(11, 15)

Share = Callable[[int | None], float | None]
"""The part (0 to 1) of all processors that others have used since the last call.

It is given the session whose processes are not others, None while there is none; None where nothing
can be told, as after the session changed.
"""


class OthersLoad:
    """Tells when others need the machine: above `percent` of all processors over a minute.

    Once they did, it takes `QUIET_S` of less than `QUIET_PART` of that until they no longer do. What
    was seen before a server started or ended does not count after it, nor what nobody looked at for
    over a minute.
    """

    def __init__(
        self,
        percent: float,
        session: Callable[[], int | None],
        *,
        share: Share | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.percent = percent
        self._session = session
        self._share = share or (ps_share if sys.platform == "darwin" else ProcShare())
        self._now = now
        self._seen: deque[tuple[float, float]] = deque(maxlen=64)
        self._looked_at = now()
        self._loud_at: float | None = None
        self._lock = threading.Lock()

    def too_high(self) -> bool:
        """Measure what was used since the last call, and judge."""
        with self._lock:
            now = self._now()
            part, passed = self._share(self._session()), now - self._looked_at
            # After a pause for another reason it would be the mean of hours.
            if part is None or passed > BUSY_S:
                self._seen.clear()
            else:
                self._seen.append((passed, 100 * part))
            self._looked_at = now
            return self._judge(now)

    def _judge(self, now: float) -> bool:
        percent = self._mean()
        if self._loud_at is None:
            if percent is not None and percent > self.percent:
                self._loud_at = now
        elif percent is None or percent >= QUIET_PART * self.percent:
            self._loud_at = now
        elif now - self._loud_at >= QUIET_S:
            self._loud_at = None
        return self._loud_at is not None

    def _mean(self) -> float | None:
        """Percent over the last minute; None before a minute was seen."""
        left, used = BUSY_S, 0.0
        for seconds, percent in reversed(self._seen):
            taken = min(seconds, left)
            used += taken * percent
            left -= taken
            if left <= 0:
                return used / BUSY_S
        return None


class ProcShare:
    """Linux: the ticks of /proc. In a container /proc/stat is that of the machine all the same."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._last: tuple[int | None, int, int, int] | None = None

    def __call__(self, session: int | None) -> float | None:
        """As `Share` says."""
        try:
            total, busy = self._machine()
        except (OSError, ValueError, IndexError):
            return None
        own = 0 if session is None else self._own(session)
        last, self._last = self._last, (session, total, busy, own)
        if last is None or last[0] != session or total <= last[1]:
            return None
        # What a child used that nobody waited for is lost, so `own` may shrink.
        others = busy - last[2] - max(0, own - last[3])
        return min(1.0, max(0.0, others / (total - last[1])))

    def _machine(self) -> tuple[int, int]:
        """Ticks since boot: of all processors, and of those the ones that were used."""
        with (self._proc / "stat").open("r") as file:
            ticks = [int(word) for word in file.readline().split()[1 : _COUNTED + 1]]
        total = sum(ticks)
        return total, total - ticks[_IDLE] - ticks[_WAITING]

    def _own(self, session: int) -> int:
        ticks = 0
        for folder in self._proc.iterdir():
            if not folder.name.isdigit():
                continue
            try:
                text = (folder / "stat").read_text("utf-8", "replace")
                words = text.rpartition(")")[2].split()
                if int(words[_SESSION]) == session:
                    ticks += sum(int(word) for word in words[_TICKS])
            except (OSError, ValueError, IndexError):
                continue
        return ticks


def ps_share(session: int | None) -> float | None:
    """macOS: what ps says, which there is a mean of up to the last minute. As `Share` says."""
    try:
        done = subprocess.run(
            ["ps", "-A", "-o", "pgid=,pcpu="],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PS_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return share_in_ps(done.stdout, session, os.cpu_count() or 1)


def share_in_ps(text: str, group: int | None, processors: int) -> float | None:
    """The same from rows of a process group and its percent of one processor."""
    percent, rows = 0.0, 0
    for line in text.splitlines():
        try:
            owner, used = line.split()
            percent += 0.0 if int(owner) == group else float(used)
        except ValueError:
            continue
        rows += 1
    return min(1.0, percent / (100 * processors)) if rows else None
