"""Bounding the size of logs that other programs have open.

What the program writes itself it rotates by renaming (`writing`, container.log). A server and a
chat runner write to the descriptor that they were started with, for weeks: their logs are copied
and truncated by whichever torbiz-tui looks at them. That works because they are opened to append.
Nobody can write between the last look and the truncation, since the writers are stopped for it:
the end of a copy takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

from torbiz_tui.logs.writing import KEPT_FILES, MAX_BYTES

_CHUNK = 2**20


def bound(
    file: Path,
    *,
    writers: int | None = None,
    max_bytes: int = MAX_BYTES,
    kept: int = KEPT_FILES,
) -> bool:
    """Rotate a log that has grown past `max_bytes` while the process group `writers` appends to it.

    It goes to `<name>.1`, and `kept` rotated files are left. While its last line is not finished
    it waits for the next time, up to twice the size. Returns whether it was rotated. Raises OSError, and then has lost nothing.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size <= max_bytes:
            return False
        copy = file.with_name(f".{file.name}.rotating")
        target = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Most of it is copied while they go on.
            copied = _copy(descriptor, target, 0)
            with _stopped(writers):
                copied = _copy(descriptor, target, copied)
                finished = os.pread(target, 1, copied - 1) == b"\n"
                if not finished and copied < 2 * max_bytes:
                    # Torn lines are worse than a bigger file.
                    return False
                _shift(file, kept)
                copy.rename(file.with_name(f"{file.name}.1"))
                os.ftruncate(descriptor, 0)
        finally:
            os.close(target)
            copy.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _copy(source: int, target: int, position: int) -> int:
    while data := os.pread(source, _CHUNK, position):
        position += os.pwrite(target, data, position)
    return position


def _shift(file: Path, kept: int) -> None:
    for number in range(kept, 1, -1):
        newer = file.with_name(f"{file.name}.{number - 1}")
        with contextlib.suppress(FileNotFoundError):
            newer.replace(file.with_name(f"{file.name}.{number}"))


@contextlib.contextmanager
def _stopped(group: int | None) -> Iterator[None]:
    """Keep a process group from running, if there is one."""
    if group is None:
        yield
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)
