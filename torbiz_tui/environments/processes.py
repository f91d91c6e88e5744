"""Processes of the native environment: recognised by number and start, ended with all they left."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from torbiz_tui.environments.base import ExitReport, RunnerProcess
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.decoding import shown_line
from torbiz_tui.logs.following import LineAssembler
from torbiz_tui.logs.run_start import RunStart, begin_run, last_of_run
from torbiz_tui.logs.writing import logger

LAST_LINES = 12
# So many are read to find those that tell of the end among what a server measures every two seconds.
READ_LINES = 5 * LAST_LINES
# And so many where nothing else was there, as with a server that had been idle for hours.
READ_FURTHER = 20_000
_MEASURED = "[DEBUG] "
_CHUNK = 64 * 1024
_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1
Child = subprocess.Popen[bytes]
# Loaded here, since a child between fork and exec must not allocate more than it has to.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
# What a parent's Python settings would do to another Python's imports.
_FOREIGN_VARIABLES = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)


def clean_environ(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a program of another Python, with `extra` added."""
    environ = {key: value for key, value in os.environ.items() if key not in _FOREIGN_VARIABLES}
    return environ | {"PYTHONUNBUFFERED": "1"} | dict(extra)


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_mark(pid: int) -> str | None:
    """When the living process `pid` was started, in the system's terms; None when there is none.

    On Linux that is the boot and the clock ticks since, which no change of the clock moves;
    elsewhere the creation time. A zombie counts as gone.
    """
    if sys.platform == "linux":
        try:
            # Field 3 is the state, field 22 the start; the name (field 2) may hold anything.
            fields = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            )
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{_boot_id()}:{fields[19]}"
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def of_earlier_boot(mark: str) -> bool:
    """Whether what has this start mark was started before the machine was (Linux alone knows)."""
    return sys.platform == "linux" and ":" in mark and mark.partition(":")[0] != _boot_id()


def last_lines(file: Path, start: RunStart) -> tuple[str, ...]:
    """The last lines of a run in a log, safe to show, without what it only measured."""
    for count in (READ_LINES, READ_FURTHER):
        lines = last_of_run(file, start, count)
        told = telling(shown_line(data) for data in lines if _MEASURED.encode() not in data)
        if told or len(lines) < count:
            break
    return told


def telling(lines: Iterable[str]) -> tuple[str, ...]:
    """The last of these lines that tell a person something."""
    return tuple(line for line in lines if line.strip() and _MEASURED not in line)[-LAST_LINES:]


def end_with_parent() -> None:
    """Make a child, between fork and exec, die when this program does (Linux).

    For tools that work on files under a lock of ours: the lock goes when we are killed, and so
    must they.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill_group(group: int) -> None:
    """Kill a process group, if it is there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; the number itself where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class NativeRunner(RunnerProcess):
    """A runner script as a child process in a session of its own."""

    def __init__(
        self, process: asyncio.subprocess.Process, log_file: Path, start: RunStart
    ) -> None:
        self._process = process
        self._log_file = log_file
        self._log_start = start

    @classmethod
    async def start(
        cls, argv: Sequence[str], environ: Mapping[str, str], log_file: Path, title: str
    ) -> NativeRunner:
        """Start `argv`, called `title`, with its diagnostics appended to `log_file`."""
        with open_log(log_file) as log:
            start = begin_run(log, title)
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=dict(environ),
                start_new_session=True,
            )
        return cls(process, log_file, start)

    async def send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode_message(message))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise TorbizError("The runner has ended.", code="runner_died") from error

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        assert self._process.stdout is not None
        async for message in read_messages(self._process.stdout):
            yield message

    async def wait(self) -> ExitReport:
        code = await self._process.wait()
        kill_group(self._process.pid)
        return ExitReport(
            code=code if code >= 0 else None,
            signal=signal_name(-code) if code < 0 else None,
            last_lines=last_lines(self._log_file, self._log_start),
        )

    async def stop(self, grace_s: float = 5.0) -> ExitReport:
        with contextlib.suppress(TorbizError):
            await self.send({"type": "shutdown"})
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            logger("inference").warning("the runner did not end within %.0f s: killed", grace_s)
            kill_group(self._process.pid)
        return await self.wait()

    async def close(self) -> None:
        await self.stop()


def encode_message(message: Mapping[str, Any]) -> bytes:
    """A message to a runner as a line."""
    return json.dumps(dict(message)).encode() + b"\n"


async def read_messages(
    stream: asyncio.StreamReader, first: bytes = b""
) -> AsyncIterator[dict[str, Any]]:
    """The messages of a runner, `first` being what was read already; a bad line is logged."""
    assembler = LineAssembler()
    data = first or await stream.read(_CHUNK)
    while data:
        for line in assembler.feed(data):
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if isinstance(message, dict) and isinstance(message.get("type"), str):
                yield message
            else:
                logger("inference").warning("not a message of the runner: %.200s", line)
        data = await stream.read(_CHUNK)


def open_log(file: Path) -> IO[bytes]:
    """Open a log to append to, readable by its owner alone. Raises TorbizError."""
    try:
        stream = file.open("ab")
        file.chmod(0o600)
    except OSError as error:
        raise TorbizError(
            f"The log {file} cannot be written.",
            why=f"{error.strerror}.",
            remedy="Free some disk space or mend the permissions, then try again.",
            code="log_not_writable",
        ) from error
    return stream


def start_detached(
    argv: Sequence[str], environ: Mapping[str, str], *, cwd: Path, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program that outlives this one, in a session of its own, with its output in the log.

    Raises OSError.
    """
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environ,
        cwd=cwd,
        start_new_session=True,
    )


async def wait_gone(pid: int, mark: str, timeout_s: float | None = None) -> bool:
    """Wait until the process is gone; False when `timeout_s` seconds were not enough."""
    loop = asyncio.get_running_loop()
    deadline = None if timeout_s is None else loop.time() + timeout_s
    while start_mark(pid) == mark:
        if deadline is not None and loop.time() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
