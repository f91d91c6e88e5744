"""Runs one server command and outlives nothing: forwards signals, reports the end, leaves no child.

    python supervise_server.py --report FILE [--log FILE --rotate COMMAND] -- COMMAND [ARG ...]

It is what the native driver starts detached. It needs the standard library alone and stays small
(about 10 MB), so that the end of the server is known whatever becomes of the app: the exit code
or the signal is written to FILE as one JSON object, and processes that the command has left in
its process group (p2pd, the DHT process, connection handlers) are killed. When the log that the
command writes to has grown past a limit, another command is run with its name, to rotate it.

SIGTERM, SIGINT and SIGHUP are passed on as SIGTERM, once each. Exit code: that of the command,
or 128 plus the signal's number.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
LEFTOVER_GRACE_S = 1.0
LOG_LOOK_S = 10.0


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--report", type=Path, required=True, help="where the end is written to")
    parser.add_argument("--log", type=Path, help="the log that the command writes to")
    parser.add_argument("--log-limit", type=int, default=5_000_000, help="in bytes")
    parser.add_argument("--rotate", default="", help="the command that rotates a log")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("give the command to run after --")

    asked_to_stop = False
    child: subprocess.Popen[bytes] | None = None

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    oom_kills = _oom_kills()
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr, flush=True)
        _write_report(options.report, code=127, asked=asked_to_stop)
        return 127
    if asked_to_stop:
        child.send_signal(signal.SIGTERM)
    if options.log is not None and options.rotate:
        rotate = [*shlex.split(options.rotate), str(options.log)]
        looking = (options.log, options.log_limit, rotate)
        threading.Thread(target=_keep_small, args=looking, daemon=True).start()
    code = _wait(child)
    _end_group(child.pid)
    out_of_memory = code == -signal.SIGKILL and _oom_kills() > oom_kills
    _write_report(options.report, code=code, asked=asked_to_stop, out_of_memory=out_of_memory)
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[bytes]) -> int:
    """The command's exit code; adopted grandchildren are reaped on the way."""
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return child.wait()
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode


def _keep_small(log: Path, limit: int, rotate: list[str]) -> None:
    """Have the log rotated when it has grown past the limit; what keeps it from that is told."""
    told = ""
    while True:
        time.sleep(LOG_LOOK_S)
        problem = ""
        try:
            if log.stat().st_size > limit:
                ran = subprocess.run(
                    rotate, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
                )
                problem = ran.stderr.strip().rpartition("\n")[2]
        except OSError as error:
            problem = f"{log} is not rotated: {error}"
        if problem and problem != told:
            print(problem, file=sys.stderr, flush=True)
        told = problem


def _end_group(group: int) -> None:
    """Kill what is left of the command's process group and reap what was adopted."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + LEFTOVER_GRACE_S
    while time.monotonic() < deadline:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not pid:
            time.sleep(0.02)


def _oom_kills() -> int:
    """How often the kernel has killed for want of memory since boot; 0 where it does not tell."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except (OSError, ValueError):
        return 0
    return 0


def _write_report(file: Path, *, code: int, asked: bool, out_of_memory: bool = False) -> None:
    report = {
        "pid": os.getpid(),
        "code": code if code >= 0 else None,
        "signal": signal.Signals(-code).name if code < 0 else None,
        "asked_to_stop": asked,
        "out_of_memory": out_of_memory,
        "ended_at": time.time(),
    }
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(report) + "\n", encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        print(f"cannot write {file}: {error}", file=sys.stderr, flush=True)


def _die_with_parent() -> None:
    # A supervisor that is killed with -9 must not leave a server that nobody knows how to stop.
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process group is what ends the children."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
