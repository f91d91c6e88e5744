"""A viewer in a pseudo-terminal: what it writes, when, and what its processes take."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.log_side.flood import END_SEEN
from benchmarks.log_side.viewers import Viewer
from tests.terminal import Terminal

SIDE = Path(__file__).resolve().parent
_KEY_EVERY_S = 0.2
_KEYS_UNTIL_END_S = 0.6
_NEWEST = re.compile(rb"flooded line (\d{9})")
_CALM_S = 0.7


@dataclass
class Flooded:
    """What was seen of a flood: seconds from key to screen, and from write to screen."""

    lines_per_s: float | None = None
    written_per_s: float = 0.0
    keys: list[float] = field(default_factory=list)
    unanswered: int = 0
    delays: list[float] = field(default_factory=list)


class Shown:
    """One viewer on one file, at 120x36; what it writes is looked at and not drawn."""

    def __init__(self, viewer: Viewer, file: Path, home: Path) -> None:
        self.viewer = viewer
        self.file = file
        self._terminal = Terminal(viewer.argv(file), environ={"HOME": str(home)} | viewer.environ)
        self._from = 0

    def send(self, keys: str) -> None:
        """Type; only what is written from now on counts."""
        self._read(0)
        self._from = len(self._terminal.written)
        self._terminal.send(keys)

    def wait(self, mark: bytes, limit_s: float) -> float | None:
        """Seconds until the bytes were written; None when they were not in time."""
        begun = time.monotonic()
        at = self._from
        while True:
            written = self._terminal.written
            if (found := written.find(mark, at)) != -1:
                self._from = found + len(mark)
                return time.monotonic() - begun
            at = max(self._from, len(written) - len(mark))
            if time.monotonic() - begun > limit_s or not self.alive:
                return None
            self._read(0.05)

    def rest(self, limit_s: float = 60.0) -> None:
        """Wait until it has nothing to do any more."""
        deadline = time.monotonic() + limit_s
        busy = self._busy_s()
        while time.monotonic() < deadline and self.alive:
            until = time.monotonic() + _CALM_S
            while (left := until - time.monotonic()) > 0:
                self._read(left)
            before, busy = busy, self._busy_s()
            if busy - before < 0.05 * _CALM_S:
                return

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        with suppress(psutil.Error):
            return psutil.Process(self._terminal.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def memory(self) -> tuple[int, int]:
        """Resident bytes of its processes, and those of them that are no file's."""
        taken = [process.memory_full_info() for process in self._processes()]
        return sum(one.rss for one in taken), sum(one.uss for one in taken)

    def flood(self, rate: int, seconds: float, limit_s: float) -> Flooded:
        """Let lines be appended, press a key every 200 ms, and see when what is shown."""
        flooded = Flooded()
        command = [sys.executable, str(SIDE / "flood.py"), str(self.file), str(rate), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            begun = float(writer.stdout.readline())
            self._watch_flood(flooded, begun, rate, begun + seconds - _KEYS_UNTIL_END_S)
            written = float(writer.stdout.readline())
        flooded.written_per_s = rate * seconds / (written - begun)
        self._read(0)
        at = self._terminal.written.rfind(END_SEEN)
        if at == -1:
            self._terminal.send(self.viewer.follow)
            self._from = max(0, len(self._terminal.written) - len(END_SEEN))
            if self.wait(END_SEEN, limit_s) is None:
                return flooded
        flooded.lines_per_s = rate * seconds / (time.monotonic() - begun)
        return flooded

    def _watch_flood(self, flooded: Flooded, begun: float, rate: int, end: float) -> None:
        keys = self.viewer.keys
        pressed, next_key = 0, begun + _KEY_EVERY_S
        pending: tuple[float, bytes, int] | None = None
        newest, looked = -1, len(self._terminal.written)
        # The last key is one that goes back to the end.
        while (now := time.monotonic()) < end or pressed % len(keys):
            if now >= next_key and pending is None:
                key, mark = keys[pressed % len(keys)]
                pressed += 1
                next_key = max(next_key + _KEY_EVERY_S, now)
                self._read(0)
                before = len(self._terminal.written)
                # It waits a moment before it types.
                self._terminal.send(key)
                if mark is not None:
                    pending = (time.monotonic(), mark, before)
            self._read(max(0.0, min(0.05, next_key - now)) if pending is None else 0.05)
            now = time.monotonic()
            written = self._terminal.written
            if pending is not None and written.find(pending[1], pending[2]) != -1:
                flooded.keys.append(now - pending[0])
                pending = None
            elif pending is not None and now > end + 10:
                flooded.unanswered += 1
                break
            seen = [int(number) for number in _NEWEST.findall(written, max(0, looked - 22))]
            if seen and max(seen) > newest:
                newest = max(seen)
                flooded.delays.append(now - (begun + newest / rate))
            looked = len(written)

    def append(self, mark: bytes, limit_s: float) -> float | None:
        """Append one line, and tell the seconds until it is shown."""
        self._read(0)
        self._from = len(self._terminal.written)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S").encode()
        with self.file.open("ab") as stream:
            stream.write(stamp + b",000 [INFO] [petals.mark] " + mark + b"\n")
        return self.wait(mark, limit_s)

    def close(self) -> None:
        """End it."""
        for process in self._processes():
            with suppress(psutil.Error):
                process.kill()
        self._terminal.close()

    def _read(self, timeout_s: float) -> None:
        self._terminal.read_undrawn(timeout_s)

    def _processes(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._terminal.pid)
            return [first, *first.children(recursive=True)]
        except psutil.Error:
            return []

    def _busy_s(self) -> float:
        busy = 0.0
        for process in self._processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                busy += times.user + times.system
        return busy
