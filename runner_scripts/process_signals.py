"""How a runner script ends: on signals, within a deadline, leaving no process behind."""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
_IS_LINUX = sys.platform.startswith("linux")

_pid_before_fork = 0
_close_in_children: list[int] = []


def end_now(code: int) -> None:
    """Kill every descendant and leave at once, without Python's own clean-up."""
    kill_descendants()
    os._exit(code)


def kill_descendants() -> None:
    """Kill all processes below this one, so that no p2pd keeps the port and the announcement."""
    # "psutil" in sys.modules would not do: a stop during the imports may come before it.
    try:
        import psutil

        children = psutil.Process().children(recursive=True)
    except Exception:
        return  # psutil half imported or /proc unreadable: PDEATHSIG still ends them on Linux
    for child in children:
        try:
            child.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(children, timeout=1)


def tell_of_crashes() -> None:
    """Write where every thread was when native code ends the process, in torch say."""
    faulthandler.enable()


def install_stop_handlers(on_stop: Callable[[int], None], deadline_s: float) -> None:
    """Call `on_stop(signum)` in the main thread on the first stop signal, and end by the deadline.

    Handlers are set explicitly, since a shell's background job inherits SIGINT ignored. The
    deadline runs in a thread fed by the wake-up descriptor, because Python runs handlers only
    between bytecodes and the main thread may be inside a long C call.
    """
    stopping = threading.Event()

    def handle(signum: int, _frame: Any) -> None:
        if not stopping.is_set():
            stopping.set()
            on_stop(signum)

    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    _close_in_children.extend((receiving, sending))
    threading.Thread(
        target=_enforce_deadline, args=(receiving, deadline_s), name="stop-deadline", daemon=True
    ).start()
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    for signum in STOP_SIGNALS:
        signal.signal(signum, handle)


def _enforce_deadline(descriptor: int, deadline_s: float) -> None:
    while True:
        received = os.read(descriptor, 64)
        if any(signum in STOP_SIGNALS for signum in received):
            start_deadline(deadline_s)
            return


def start_deadline(deadline_s: float, code: int = 0) -> None:
    """End the process with `code` after `deadline_s`, whatever the main thread is doing."""
    timer = threading.Timer(deadline_s, end_now, (code,))
    timer.daemon = True
    timer.start()


def close_in_children(descriptor: int) -> None:
    """Close `descriptor` in forked children, so that its other end sees our death."""
    _close_in_children.append(descriptor)


def forget_descriptor(descriptor: int) -> None:
    """Take back `close_in_children`, before the descriptor is closed and its number used anew."""
    if descriptor in _close_in_children:
        _close_in_children.remove(descriptor)


def tie_children_to_this_process() -> None:
    """Make forked children and p2pd die with their parent (Linux), and not react to our signals.

    Without it, kill -9 leaves the DHT process, p2pd and the handlers behind: they keep the port,
    and the blocks stay announced. Forked children would also inherit our Python handlers and the
    wake-up descriptor, through which their signals would appear to be ours.
    """
    libc = ctypes.CDLL(None, use_errno=True) if _IS_LINUX else None

    def die_with(parent: int) -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the parent died before the call
                os._exit(1)

    def before() -> None:
        global _pid_before_fork
        _pid_before_fork = os.getpid()

    def in_child() -> None:
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
            # A terminal sends Ctrl+C and its hang-up to the whole group: the parent decides.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor in _close_in_children:
            try:
                os.close(descriptor)
            except OSError:
                continue
        _close_in_children.clear()
        die_with(_pid_before_fork)

    os.register_at_fork(before=before, after_in_child=in_child)
    if libc is not None:
        _tie_async_subprocesses(die_with)


def _tie_async_subprocesses(die_with: Callable[[int], None]) -> None:
    """p2pd is started with asyncio, whose spawn does not run the fork hooks."""
    import asyncio.subprocess

    original = asyncio.subprocess.create_subprocess_exec

    @functools.wraps(original)
    async def create_subprocess_exec(*args: Any, **kwargs: Any) -> Any:
        parent = os.getpid()
        kwargs.setdefault("preexec_fn", lambda: die_with(parent))
        return await original(*args, **kwargs)

    asyncio.subprocess.create_subprocess_exec = create_subprocess_exec
