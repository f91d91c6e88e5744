"""Keeping a container's log in container.log, by whichever process of this program watches it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.environments.docker.log_file import LOG_NAME, ContainerLogFile
from torbiz_tui.environments.docker.log_lines import Position, StampedLine, advance
from torbiz_tui.environments.docker.log_stream import container_log
from torbiz_tui.environments.docker.watching import look_at
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import MAX_BYTES, logger, write_failures
from torbiz_tui.paths import Paths

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Spool", "keep_container_log", "update_container_log"]

T = TypeVar("T")

_LOCK_POLL_S = 0.5
_DISK_POLL_S = 2.0
_LOOK_S = 2.0


class Spool:
    """Copies one container's log into container.log, each line once.

    Only one process copies at a time; the others wait, and go on where it stopped when it ends.
    """

    def __init__(
        self,
        finder: EngineFinder,
        paths: Paths,
        container_id: str,
        name: str,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._finder = finder
        self._paths = paths
        self._id = container_id
        self._target = paths.logs / LOG_NAME
        self._file = ContainerLogFile(self._target, name, container_id, max_bytes=max_bytes)
        self._position: Position | None = None
        self._told = False

    async def run(self, *, follow: bool = True) -> None:
        """Copy until the container has ended and all of its log is in the file, or it is removed.

        With `follow` false what was logged so far, and nothing while another process copies. What
        keeps it from writing (a full disk) is told once and waited for. Raises TorbizError as
        `container_log` does. Cancelling it leaves whole lines only.
        """
        lock = await self._lock(wait=follow)
        if lock is None:
            return
        try:
            self._position = await self._write(self._file.position)
            log = container_log(self._finder, self._id, self._position, follow=follow)
            async with contextlib.aclosing(log) as batches:
                async for batch in batches:
                    if batch:
                        await self._append(batch)
        finally:
            self._file.close()
            lock.release()

    async def _lock(self, *, wait: bool) -> BaseFileLock | None:
        from filelock import FileLock, Timeout

        lock = FileLock(self._paths.run / "container-log.lock")
        while True:
            try:
                return lock.acquire(timeout=0).lock
            except Timeout:
                if not wait:
                    return None
            except OSError as error:
                self._tell(error)
                if not wait:
                    return None
            await asyncio.sleep(_LOCK_POLL_S)

    async def _append(self, lines: list[StampedLine]) -> None:
        position = self._position
        await self._write(lambda: self._file.append(lines, position))
        self._position = advance(position, lines)

    async def _write(self, work: Callable[[], T]) -> T:
        """Do it in a thread, again and again until the disk lets it."""
        while True:
            # What has begun must be over before anybody else gets the lock.
            doing = asyncio.create_task(asyncio.to_thread(work))
            try:
                result = await asyncio.shield(doing)
            except asyncio.CancelledError:
                await asyncio.wait([doing])
                raise
            except OSError as error:
                self._tell(error)
                await asyncio.sleep(_DISK_POLL_S)
                continue
            if self._told:
                self._told = False
                logger("docker").info("%s is written again", self._target)
            return result

    def _tell(self, error: OSError) -> None:
        if self._told:
            return
        self._told = True
        text = (
            f"The log {self._target} cannot be written: {error.strerror or error}. It goes on,"
            " with nothing left out, as soon as it can."
        )
        write_failures.append(text)
        logger("docker").warning("%s", text)


async def keep_container_log(finder: EngineFinder, paths: Paths, name: str) -> None:
    """Copy the log of the container of that name, and of each that comes after it; never ends."""
    done = ""
    while True:
        try:
            state = await look_at(await finder.engine(), name)
            if state.id != done and not state.never_ran:
                await Spool(finder, paths, state.id, name).run()
                done = state.id
        except Exception as error:
            if not _no_container(error):
                raise
        await asyncio.sleep(_LOOK_S)


async def update_container_log(finder: EngineFinder, paths: Paths, name: str) -> None:
    """Copy what the container of that name has logged so far; without one do nothing.

    Raises TorbizError when the engine does not answer.
    """
    from docker.errors import APIError

    with contextlib.suppress(APIError):
        state = await look_at(await finder.engine(), name)
        await Spool(finder, paths, state.id, name).run(follow=False)


def _no_container(error: Exception) -> bool:
    """Whether it says that there is none, or that no engine answers."""
    from docker.errors import APIError

    return isinstance(error, APIError | TorbizError)
