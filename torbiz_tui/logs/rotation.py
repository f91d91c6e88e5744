"""Bounding the size of logs that other programs have open.

    python -m torbiz_tui.logs.rotation FILE

What the program writes itself it rotates by renaming (`writing`, container.log). A server and a
chat runner write to the descriptor that they were started with, for weeks: their logs are copied
and truncated, which works because they are opened to append. A server's supervisor sees to that
with the command above, whether or not the app runs; a chat runner's log is looked after by the
programs that use it. Whoever writes is stopped while the last of it is copied, for some
milliseconds, so that no line falls between the copy and the truncation. (Linux; elsewhere, and for
a container of another user, it is not known who writes, and what is written within these few
microseconds is lost.)
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep

from torbiz_tui.logs.writing import KEPT_FILES, MAX_BYTES, logger, shift

LOOKED_EVERY_S = 10.0
"""How often the size of a log is looked at that another program writes to."""

_CHUNK = 2**20
_PROC = Path("/proc")
_GUARD_S = 5
_STOP_S = 0.5
_POLL_S = 0.0005


def bound(
    file: Path,
    *,
    max_bytes: int = MAX_BYTES,
    kept: int = KEPT_FILES,
) -> bool:
    """Rotate a log that has grown past `max_bytes` while other processes append to it.

    It goes to `<name>.1`, and `kept` rotated files are left; who knows a place in it finds that
    there, at the same offset (`run_start`). While its last line is not finished it waits for the
    next time, up to twice the size. So it does while another program rotates it, and when the
    machine is too busy to stop who writes. Returns whether it was rotated. Raises OSError, and then
    has lost nothing.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _alone(descriptor):
            return False
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size <= max_bytes:
            return False
        copy = file.with_name(f".{file.name}.rotating")
        target = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Most of it is copied while they go on.
            copied = _copy(descriptor, target, 0)
            with _stopped(_writers(status)) as all_stopped:
                if not all_stopped:
                    # What they write meanwhile would be lost.
                    return False
                copied = _copy(descriptor, target, copied)
                finished = os.pread(target, 1, copied - 1) == b"\n"
                if not finished and copied < 2 * max_bytes:
                    # Torn lines are worse than a bigger file.
                    return False
                shift(file, kept)
                copy.rename(file.with_name(f"{file.name}.1"))
                os.ftruncate(descriptor, 0)
        finally:
            os.close(target)
            copy.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


async def keep_bounded(file: Path, *, every_s: float = LOOKED_EVERY_S) -> None:
    """Bound a log that another program writes to, again and again; never ends.

    What keeps it from that is logged, once for as long as it lasts.
    """
    told = ""
    while True:
        try:
            await asyncio.to_thread(bound, file)
            told = ""
        except OSError as error:
            if str(error) != told:
                told = str(error)
                logger("app").warning("%s cannot be rotated: %s", file, error)
        await asyncio.sleep(every_s)


def _alone(descriptor: int) -> bool:
    """Lock a file until it is closed; false while another program has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _copy(source: int, target: int, position: int) -> int:
    while data := os.pread(source, _CHUNK, position):
        position += os.pwrite(target, data, position)
    return position


def _writers(file: os.stat_result) -> list[int]:
    """The other processes that have a file open to write (Linux; of this user, or of all)."""
    if not _PROC.is_dir():
        return []
    mine = os.getpid()
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    # Whom somebody else has stopped stays stopped.
    return [pid for pid in pids if pid != mine and _writes(pid, file) and _runs(pid)]


def _writes(pid: int, file: os.stat_result) -> bool:
    # Processes of others cannot be looked into, and any can end meanwhile.
    with contextlib.suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                status = link.stat()
                if (status.st_dev, status.st_ino) == (file.st_dev, file.st_ino):
                    facts = (_PROC / str(pid) / "fdinfo" / link.name).read_text("ascii")
                    flags = next(line for line in facts.splitlines() if line.startswith("flags:"))
                    if int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                        return True
    return False


@contextlib.contextmanager
def _stopped(pids: Sequence[int]) -> Iterator[bool]:
    """Keep processes from running, and tell whether all of them have stopped in time.

    They go on in any case, also if this one is killed.
    """
    if not pids:
        yield True
        return
    guard = subprocess.Popen(
        ["/bin/sh", "-c", f'sleep {_GUARD_S}; kill -CONT "$@"', "sh", *map(str, pids)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _signal(pids, signal.SIGSTOP)
        yield _wait_stopped(pids)
    finally:
        _signal(pids, signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait_stopped(pids: Sequence[int]) -> bool:
    """A signal takes a moment to reach a process that runs, each of its threads."""
    deadline = monotonic() + _STOP_S
    while any(map(_runs, pids)):
        if monotonic() > deadline:
            return False
        sleep(_POLL_S)
    return True


def _runs(pid: int) -> bool:
    try:
        states = [
            (task / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
            for task in (_PROC / str(pid) / "task").iterdir()
        ]
    except OSError:
        return False
    # Stopped, traced, or at an end.
    return any(state not in "TtZXx" for state in states)


def main(arguments: Sequence[str]) -> int:
    """Bound the files that are named; the exit code is 1 when one of them cannot be."""
    code = 0
    for name in arguments:
        try:
            bound(Path(name))
        except OSError as error:
            print(f"{name} cannot be rotated: {error}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
