"""Learning that files have changed: from the system where it tells, by looking where it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


class Watch:
    """A file being watched; it need not exist."""

    def close(self) -> None:
        """Stop watching it."""
        raise NotImplementedError


def watch(path: Path, on_change: Callable[[], None]) -> Watch:
    """Call `on_change` (in the watching thread) whenever the file may have changed.

    That is: written to, truncated, replaced, gone, come, or another target of its symbolic link.
    Changes that come close together are told once. One thread watches for all, and ends with the
    last watch.
    """
    raise NotImplementedError


class Changes:
    """Changes of a file, awaited on an event loop."""

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a change since the last call; false when there was none in time."""
        raise NotImplementedError


@asynccontextmanager
async def changes(path: Path) -> AsyncIterator[Changes]:
    """Watch a file for as long as the context lasts."""
    raise NotImplementedError
    yield Changes()
