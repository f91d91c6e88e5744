"""Keeping a container's log in container.log, by whichever process of this program watches it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.environments.docker.container import LOG_NAME as SEEDER_LOG
from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.log_file import LOG_NAME, ContainerLogFile
from torbiz_tui.environments.docker.log_lines import Position, StampedLine, advance
from torbiz_tui.environments.docker.log_stream import container_lines, container_log
from torbiz_tui.environments.docker.watching import look_at
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.rotation import keep_bounded
from torbiz_tui.logs.writing import MAX_BYTES, logger, write_failures
from torbiz_tui.paths import Paths

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["ContainerLog", "Spool", "copy_rest", "spooled_lines"]

T = TypeVar("T")

_LOCK_POLL_S = 0.2
_DISK_POLL_S = 2.0
_LOOK_S = 2.0
_REST_S = 3.0


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


async def spooled_lines(
    finder: EngineFinder, paths: Paths, container_id: str, name: str
) -> AsyncGenerator[list[str], None]:
    """As `container_lines`; container.log is kept at the same time, and whole at the end."""
    spool = asyncio.create_task(_run(Spool(finder, paths, container_id, name)), name="spool")
    # The server in the container writes a log of its own, too.
    bounding = asyncio.create_task(keep_bounded(paths.logs / SEEDER_LOG), name="bound")
    try:
        async with contextlib.aclosing(container_lines(finder, container_id)) as batches:
            async for batch in batches:
                yield batch
        await asyncio.wait([spool], timeout=_REST_S)
    finally:
        spool.cancel()
        bounding.cancel()
        await asyncio.wait([spool, bounding])


async def copy_rest(finder: EngineFinder, paths: Paths, container_id: str, name: str) -> None:
    """Copy what container.log still lacks of a container that has ended, before it is removed.

    Takes a few seconds at most; what keeps it from that is logged.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REST_S):
            await _run(Spool(finder, paths, container_id, name))


class ContainerLog:
    """container.log of the container with the configured name, for who wants to read the file."""

    def __init__(self, finder: EngineFinder, paths: Paths, name: str) -> None:
        self._finder = finder
        self._paths = paths
        self._name = name

    async def update(self) -> None:
        """Copy what was logged so far; without such a container do nothing.

        Raises TorbizError when the engine does not answer.
        """
        spool = await self._spool()
        if spool is not None:
            await spool.run(follow=False)

    async def keep(self) -> None:
        """Copy the log of the container, and of each that comes after it; never ends."""
        while True:
            with contextlib.suppress(TorbizError):
                spool = await self._spool()
                if spool is not None:
                    await _run(spool)
            await asyncio.sleep(_LOOK_S)

    async def _spool(self) -> Spool | None:
        from docker.errors import APIError

        try:
            state = await look_at(await self._finder.engine(), self._name)
        except APIError:
            return None
        if state.owner is Owner.OTHER or state.never_ran:
            return None
        return Spool(self._finder, self._paths, state.id, state.name)


async def _run(spool: Spool) -> None:
    try:
        await spool.run()
    except TorbizError as error:
        logger("docker").warning("container.log is not written: %s", error)
