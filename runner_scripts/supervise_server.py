"""Runs one server command and outlives nothing: forwards signals, reports the end, leaves no child.

    python supervise_server.py [--report FILE] [--restart] [--log FILE --rotate COMMAND] -- COMMAND [ARG ...]

It is what the native driver starts detached, and what runs in the container. It needs the standard library alone and stays small
(about 10 MB), so that the end of the server is known whatever becomes of the app: the exit code
or the signal is written to the report as one JSON object, and processes that the command has left in
its process group (p2pd, the DHT process, connection handlers) are killed. When the log that the
command writes to has grown past a limit, another command is run with its name, to rotate it.

With --restart a command that crashes once it has served is started again, after pauses that grow
(5, 15, 60, then 300 s) and at most five times in an hour; that is told on stderr, and in the file of
--tell. What ends before
it has ever served, what says that it is refused, and what somebody has stopped stays ended. One that
has served before a pause is started again too: there may be no network yet. The
command tells both on the descriptor that TORBIZ_SUPERVISOR_FD names (`supervisor_words.py`).

With --hours, --mains-only and --pause-above the command is asked to finish and to stop while it may not
serve (`pausing.py`), and started again as soon as it may; that is told as well.

SIGTERM, SIGINT and SIGHUP are passed on as SIGTERM, once each, and SIGUSR1 as it is: it asks to finish
what is being answered first (`draining.py`). Exit code: that of the command,
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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from others_load import OthersLoad
from pausing import Conditions, Hours

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
LEFTOVER_GRACE_S = 1.0
LOG_LOOK_S = 10.0
STOP_LOOK_S = 0.1
RESTART_PAUSES_S = (5.0, 15.0, 60.0, 300.0)
RESTARTS_MOST = 5
PAUSE_LOOK_S = 10.0
# What is being answered gets this long before a pause.
PAUSE_DRAIN_S = 60.0
RESTART_WINDOW_S = 3600.0
# Loaded here: between fork and exec nothing may wait for what a thread of ours has locked.
_libc: ctypes.CDLL | None = None
if sys.platform == "linux":
    with contextlib.suppress(OSError):
        _libc = ctypes.CDLL(None)
# Files that get what is told on stderr as well.
_told_in: list[Path] = []
# It ended by itself, was called wrongly, or somebody has asked the process itself to stop.
NO_CRASH = (0, 2, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--report", type=Path, help="where the end is written to")
    parser.add_argument("--tell", type=Path, help="what is told on stderr goes there too")
    parser.add_argument("--log", type=Path, help="the log that the command writes to")
    parser.add_argument("--log-limit", type=int, default=5_000_000, help="in bytes")
    parser.add_argument("--rotate", default="", help="the command that rotates a log")
    parser.add_argument("--restart", action="store_true", help="start it again when it crashes")
    parser.add_argument("--hours", type=Hours.parse, help="serve at these alone: 22:00-07:00")
    parser.add_argument("--mains-only", action="store_true", help="not on the battery")
    parser.add_argument(
        "--pause-above",
        type=float,
        metavar="PERCENT",
        help="not while other programs use more of all processors",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("give the command to run after --")
    if options.tell is not None:
        _told_in.append(options.tell)
    supervisor = _Supervisor(command)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, supervisor.pass_on)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if options.log is not None and options.rotate:
        rotate = [*shlex.split(options.rotate), str(options.log)]
        looking = (options.log, options.log_limit, rotate)
        threading.Thread(target=_keep_small, args=looking, daemon=True).start()
    others = None
    if options.pause_above is not None:
        others = OthersLoad(options.pause_above, lambda: supervisor.session)
    conditions = Conditions(options.hours, mains_only=options.mains_only, others=others)
    if conditions.any:
        watch = threading.Thread(target=supervisor.keep_to, args=(conditions,), daemon=True)
        watch.start()
    served = False
    while not _paused(supervisor, conditions):
        end = supervisor.run()
        served = served or end.served
        if options.restart and served:
            end = _run_again(supervisor, conditions, end)
        if supervisor.asked or not end.paused:
            break
    else:
        end = _End(0)
    if end.out_of_memory:
        _tell("The server ran out of memory", "ERROR")
    if options.report is not None:
        _write_report(
            options.report, code=end.code, asked=supervisor.asked, out_of_memory=end.out_of_memory
        )
    return end.code if end.code >= 0 else 128 - end.code


@dataclass(frozen=True)
class _End:
    """How a run has ended; `code` is negative for a signal."""

    code: int
    out_of_memory: bool = False
    served: bool = False
    refused: bool = False
    paused: bool = False

    @property
    def crashed(self) -> bool:
        """Whether nobody wanted it to end, and another start may go better."""
        return not (self.refused or self.paused) and self.code not in NO_CRASH

    @property
    def how(self) -> str:
        if self.out_of_memory:
            return "out of memory"
        return signal.Signals(-self.code).name if self.code < 0 else f"exit code {self.code}"


class _Supervisor:
    """Runs the command, one at a time; `asked` says that somebody has asked it to stop."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._paused: subprocess.Popen[bytes] | None = None
        self.asked = False

    @property
    def session(self) -> int | None:
        """The session of all processes of the command that runs now."""
        child = self._child
        return None if child is None else child.pid

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Ask the running command to stop."""
        self.asked = True
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                drain = number == signal.SIGUSR1
                self._child.send_signal(signal.SIGUSR1 if drain else signal.SIGTERM)

    def keep_to(self, conditions: Conditions) -> None:
        """Ask the command to finish and stop whenever it may not serve; runs in a thread."""
        while True:
            time.sleep(PAUSE_LOOK_S)
            child = self._child
            if child is None or self._paused is child or not conditions.reason():
                continue
            self._paused = child
            for number, wait_s in ((signal.SIGUSR1, PAUSE_DRAIN_S), (signal.SIGTERM, 0.0)):
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(number)
                deadline = time.monotonic() + wait_s
                while self._child is child and time.monotonic() < deadline:
                    time.sleep(STOP_LOOK_S)

    def stopped_within(self, seconds: float) -> bool:
        """Wait; True as soon as somebody asks to stop."""
        deadline = time.monotonic() + seconds
        while not self.asked and time.monotonic() < deadline:
            time.sleep(STOP_LOOK_S)
        return self.asked

    def run(self) -> _End:
        """Run the command until its end; nothing of it is left then."""
        oom_kills = _oom_kills()
        receiving, sending = os.pipe()
        os.set_blocking(receiving, False)
        try:
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                pass_fds=(sending,),
                env={**os.environ, "TORBIZ_SUPERVISOR_FD": str(sending)},
            )
        except OSError as error:
            os.close(receiving)
            _log(f"cannot start {self._command[0]}: {error}")
            return _End(127, refused=True)
        finally:
            os.close(sending)
        self._child = child
        if self.asked:
            child.send_signal(signal.SIGTERM)
        code = _wait(child)
        self._child = None
        _end_group(child.pid)
        words = _words(receiving)
        return _End(
            code,
            out_of_memory=code == -signal.SIGKILL and _oom_kills() > oom_kills,
            served="serving" in words,
            refused="refused" in words,
            paused=self._paused is child,
        )


def _paused(supervisor: _Supervisor, conditions: Conditions) -> bool:
    """Wait until the command may serve; True when somebody has asked to stop before."""
    told = ""
    while not supervisor.asked and (reason := conditions.reason()):
        if reason != told:
            told = reason
            _tell(f"Sharing pauses: {reason}", "INFO")
        supervisor.stopped_within(PAUSE_LOOK_S)
    return supervisor.asked


def _run_again(supervisor: _Supervisor, conditions: Conditions, end: _End) -> _End:
    """Start the command again whenever it has crashed; returns its last end, or a pause."""
    restarts: list[float] = []
    while end.crashed and not supervisor.asked:
        restarts = [at for at in restarts if time.monotonic() - at < RESTART_WINDOW_S]
        if len(restarts) >= RESTARTS_MOST:
            often = f"{len(restarts) + 1} times within an hour"
            _tell(f"The server crashed ({end.how}), {often}: it is not started again", "ERROR")
            break
        pause = RESTART_PAUSES_S[min(len(restarts), len(RESTART_PAUSES_S) - 1)]
        _tell(f"The server crashed ({end.how}): it is started again in {pause:.0f} s", "WARN")
        if supervisor.stopped_within(pause):
            return _End(0)
        if conditions.reason():
            return _End(0, paused=True)
        restarts.append(time.monotonic())
        end = supervisor.run()
    return end


def _words(descriptor: int) -> list[str]:
    """What the command has said of itself; its end is not waited for."""
    try:
        return os.read(descriptor, 65_536).decode("utf-8", "replace").split()
    except BlockingIOError:
        return []
    finally:
        os.close(descriptor)


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


def _tell(text: str, level: str) -> None:
    """A line for the log, in hivemind's format."""
    stamp = f"{time.strftime('%b %d %H:%M:%S')}.{int(time.time() % 1 * 1000):03d}"
    line = f"{stamp} [{level}] {text}"
    _log(line)
    for file in _told_in:
        with contextlib.suppress(OSError), file.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")


def _log(line: str) -> None:
    """Write to stderr; a full disk is no reason to leave a server alone."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode("utf-8", "backslashreplace"))


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
            _log(problem)
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
        _log(f"cannot write {file}: {error}")


def _die_with_parent() -> None:
    # A supervisor that is killed with -9 must not leave a server that nobody knows how to stop.
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process group is what ends the children."""
    if _libc is not None:
        with contextlib.suppress(AttributeError):
            _libc.prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
