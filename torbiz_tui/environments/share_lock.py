"""One start at a time: the lock that whoever starts a server holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths


@contextmanager
def share_lock(paths: Paths) -> Iterator[None]:
    """Hold it. Raises TorbizError (`already_sharing`) while another program has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(paths.run / "share.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TorbizError(
            "Another torbiz-tui is just starting to share.",
            remedy="Wait a moment, then look at its state on the Share screen.",
            code="already_sharing",
        ) from None
    try:
        yield
    finally:
        lock.release()
