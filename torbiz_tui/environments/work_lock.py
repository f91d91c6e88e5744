"""One program at a time installs or builds; the others wait, and say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from torbiz_tui.setup.step import Reporter

_POLL_S = 0.2


@asynccontextmanager
async def work_lock(file: Path, doing: str, report: Reporter) -> AsyncIterator[bool]:
    """Hold the lock; gives whether another program had it first. `doing`: such as `building`."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    waited = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not waited:
                waited = True
                report.output(f"Another torbiz-tui is {doing}; waiting for it to finish.")
            report.progress(None, f"Another torbiz-tui is {doing}; waiting")
            await asyncio.sleep(_POLL_S)
    try:
        yield waited
    finally:
        lock.release()
