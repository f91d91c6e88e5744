"""Asking a program about the hardware, for no longer than it may take."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

_REAP_S = 1.0


class ProbeError(Exception):
    """The hardware could not be asked; the text says why, for people."""


def output_of(command: Sequence[str], timeout_s: float) -> str:
    """What a program prints to stdout.

    Raises ProbeError when it cannot be run, fails, or says nothing in time. A driver that hangs
    holds its program in the kernel, where no signal ends it: it is not waited for.
    """
    name = os.path.basename(command[0])  # noqa: PTH119 (a path of another platform is one here too)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C"},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ProbeError(f"{name} cannot be run: {error.strerror}.") from error
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_S)
        if process.stdout is not None:
            process.stdout.close()
        raise ProbeError(f"{name} did not answer within {timeout_s:g} s.") from None
    if process.returncode != 0:
        raise ProbeError(f"{name} failed (exit code {process.returncode}).")
    return output
