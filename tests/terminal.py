"""The real program in a pseudo-terminal: keys in, the screen as a person would see it out."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping, Sequence

import pexpect
import pyte


class Terminal:
    """A program on a terminal of `columns` by `rows`, drawn by a terminal emulator."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 120,
        rows: int = 36,
        environ: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.written = bytearray()
        self._drawn = 0
        # A person's Python keeps the bytecode that it has compiled.
        unwanted = ("TORBIZ_", "PYTHONDONTWRITEBYTECODE")
        base = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        self.started = time.perf_counter()
        self._child = pexpect.spawn(
            argv[0],
            list(argv[1:]),
            dimensions=(rows, columns),
            env=base | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | dict(environ or {}),
            cwd=cwd,
            timeout=None,
        )

    @property
    def pid(self) -> int:
        """The program's process."""
        return int(self._child.pid)

    @property
    def text(self) -> str:
        """The screen as lines of text."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def send(self, keys: str) -> None:
        """Type."""
        self._child.send(keys)

    def read_undrawn(self, timeout_s: float) -> bytes:
        """Keep what comes within the time without drawing it; empty when nothing came."""
        try:
            data = bytes(self._child.read_nonblocking(65536, timeout_s))
        except (pexpect.TIMEOUT, pexpect.EOF):
            return b""
        self.written += data
        return data

    def read(self, timeout_s: float) -> bool:
        """Draw what comes within the time; False when nothing came or the program has ended."""
        if not self.read_undrawn(timeout_s):
            return False
        self.draw()
        return True

    def draw(self) -> None:
        """Draw what was read and not drawn."""
        data = bytes(self.written[self._drawn :])
        self._drawn = len(self.written)
        # pyte knows no private CSI sequences with < or >, and would print their ends.
        self._stream.feed(re.sub(rb"\x1b\[[<>=][0-9;]*[a-z]", b"", data))

    def wait_for(self, pattern: str, timeout_s: float = 60.0) -> float:
        """Wait until the screen shows the pattern; the seconds since the program was started.

        Raises AssertionError with the screen when it does not come in time.
        """
        deadline = time.perf_counter() + timeout_s
        wanted = re.compile(pattern)
        while not wanted.search(self.text):
            left = deadline - time.perf_counter()
            if left <= 0 or (not self.read(min(left, 0.2)) and not self._child.isalive()):
                raise AssertionError(f"{pattern!r} did not come; the screen is:\n{self.text}")
        return time.perf_counter() - self.started

    def wait_end(self, timeout_s: float = 30.0) -> int:
        """Wait until the program has ended; its exit code."""
        deadline = time.perf_counter() + timeout_s
        while self._child.isalive():
            if time.perf_counter() > deadline:
                raise AssertionError(f"it did not end; the screen is:\n{self.text}")
            self.read(0.1)
        while self.read(0.1):
            pass
        self._child.close()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -1)

    def hang_up(self, timeout_s: float = 30.0) -> None:
        """Take the terminal away, as a closed window does; returns when the program has ended."""
        terminal = self._child.ptyproc
        terminal.fileobj.close()
        # Otherwise it would be closed again, when its number may be another file's.
        terminal.fd, terminal.closed = -1, True
        deadline = time.perf_counter() + timeout_s
        while self._child.isalive():
            assert time.perf_counter() < deadline, "it did not end"
            time.sleep(0.02)

    def close(self) -> None:
        """End it at once."""
        with contextlib.suppress(pexpect.ExceptionPexpect, OSError):
            self._child.close(force=True)
