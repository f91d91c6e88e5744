"""A runner script as a child process, whose lines tests wait for."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.ports import free_port

SCRIPTS = Path(__file__).resolve().parents[2] / "runner_scripts"
# A server that four others are started beside takes six times as long as alone.
START_TIMEOUT_S = 120.0

Event = dict[str, Any]


def runner_environment(**extra: str) -> dict[str, str]:
    """The environment of a runner: ours, without what would slow down its imports."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"HF_HUB_OFFLINE": "1"} | extra


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """The lines from here to the first one with this text in it; read once."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if wanted in line:
            return lines
    raise AssertionError(f"it ended without {wanted!r}: {lines}")


def run_script(
    python: Path | str, script: str, *arguments: str, timeout_s: float = START_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [str(python), str(SCRIPTS / script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=runner_environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    )


class RunnerProcess:
    """A started script: its stderr lines, and its stdout lines as JSON events.

    `online`: it may ask the hub that HF_ENDPOINT names.
    """

    def __init__(
        self,
        python: Path | str,
        script: str,
        *arguments: str,
        ignore_sigint: bool = False,
        online: bool = False,
    ) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignore_sigint else None
        try:
            self.process = subprocess.Popen(
                [str(python), str(SCRIPTS / script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=runner_environment(HF_HUB_OFFLINE="0" if online else "1"),
                start_new_session=True,
            )
        finally:
            if ignore_sigint:
                signal.signal(signal.SIGINT, before)
        self.log: list[str] = []
        self.events: list[Event] = []
        self._read_events = 0
        self._changed = threading.Condition()
        self._open = 2
        self._readers = [
            threading.Thread(target=self._read_log, daemon=True),
            threading.Thread(target=self._read_stdout, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_log(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._append(lambda line=line: self.log.append(line.decode().rstrip("\n")))  # type: ignore[misc]
        self._append(self._closed)

    def _read_stdout(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            event = json.loads(line.decode("utf-8"))  # anything else is a failure of the protocol
            self._append(lambda event=event: self.events.append(event))  # type: ignore[misc]
        self._append(self._closed)

    def _closed(self) -> None:
        self._open -= 1

    def _append(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def wait_log(self, text: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """Wait for a line of the log that contains `text`."""
        found: list[str] = []

        def there() -> bool:
            found.extend(line for line in self.log if text in line)
            return bool(found) or not self._open

        with self._changed:
            self._changed.wait_for(there, timeout_s)
            assert found, f"No line with {text!r} in:\n" + "\n".join(self.log)
        return found[0]

    def next_event(self, timeout_s: float = START_TIMEOUT_S) -> Event:
        """Wait for the next event that no test has taken yet."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self.events) > self._read_events or not self._open, timeout_s
            )
            shown = [*(str(event) for event in self.events[-5:]), *self.log]
            assert len(self.events) > self._read_events, "No event after:\n" + "\n".join(shown)
            self._read_events += 1
            return self.events[self._read_events - 1]

    def until(
        self, matches: Callable[[Event], bool], timeout_s: float = START_TIMEOUT_S
    ) -> list[Event]:
        """Take events up to the first that matches, and return them."""
        deadline = time.monotonic() + timeout_s
        taken: list[Event] = []
        while not taken or not matches(taken[-1]):
            taken.append(self.next_event(deadline - time.monotonic()))
        return taken

    def send(self, event: Event | bytes) -> None:
        """Send one line."""
        assert self.process.stdin
        line = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def close_stdin(self) -> None:
        """End the input, as a dying app does."""
        assert self.process.stdin
        self.process.stdin.close()

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the end, and for the last lines."""
        code = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(timeout_s)
        return code

    def destroy(self) -> None:
        """Kill what is left; for clean-up."""
        if self.process.poll() is None:
            for process in reversed(self.family()):
                process.kill()
            self.process.wait(10)
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()


class ServerProcess(RunnerProcess):
    """A server of the tiny model, on loopback."""

    def __init__(
        self,
        python: Path,
        model: Path,
        *arguments: str,
        ignore_sigint: bool = False,
        online: bool = False,
    ) -> None:
        self.port = free_port()
        super().__init__(
            python,
            "run_petals_seeder.py",
            "--model-name",
            str(model),
            "--host-maddr",
            f"/ip4/127.0.0.1/tcp/{self.port}",
            "--throughput",
            "1",
            *arguments,
            ignore_sigint=ignore_sigint,
            online=online,
        )

    def wait_serving(self) -> ServerProcess:
        """Wait until its blocks are confirmed in the DHT."""
        self.wait_log("Confirmed in the DHT")
        return self

    @property
    def address(self) -> str:
        """What other peers join the swarm with."""
        line = self.wait_log("Running a server on")
        found = re.search(r"'(/ip4/127\.0\.0\.1/[^']+)'", line)
        assert found, line
        return found[1]


def gone(processes: list[psutil.Process], timeout_s: float = 20.0) -> list[psutil.Process]:
    """Wait for processes to end, and return those that do not.

    A container's first process may never collect orphans: a zombie has ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        processes = [process for process in processes if _is_alive(process)]
        if not processes or time.monotonic() > deadline:
            return processes
        psutil.wait_procs(processes, timeout=0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
