"""Keeping a container's log in container.log, by whichever process of this program watches it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.environments.docker.container import LOG_NAME as SEEDER_LOG
from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.log_file import LOG_NAME, ContainerLogFile
from torbiz_tui.environments.docker.log_lines import Position, StampedLine, advance
from torbiz_tui.environments.docker.log_stream import container_lines, container_log, last_stamp
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
# A copy goes on for as long as it gets on: so often it is looked at, so long nothing may happen.
_WATCH_S = 0.1
_STUCK_S = 3.0
# Another process may first have to read again, unseen, what it has copied already.
_OTHERS_STUCK_S = 10.0
_REST_S = 60.0
_LAST_STAMP_S = 3.0


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
        self._steps = 0
        self._waits = False
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
            log = container_log(
                self._finder, self._id, self._position, follow=follow, on_answer=self._step
            )
            async with contextlib.aclosing(log) as batches:
                async for batch in batches:
                    if batch:
                        await self._append(batch)
        finally:
            self._file.close()
            lock.release()

    @property
    def progress(self) -> tuple[int, ...]:
        """What changes whenever it gets on, or whoever copies while it waits for the lock."""
        if not self._waits:
            return (self._steps,)
        try:
            status = self._target.stat()
        except OSError:
            return (self._steps,)
        return (self._steps, status.st_ino, status.st_size)

    @property
    def stuck_after_s(self) -> float:
        """After how many seconds without progress there is nothing to hope for any more."""
        return _OTHERS_STUCK_S if self._waits else _STUCK_S

    async def reached(self) -> Position | None:
        """How far the file goes now. Raises OSError."""
        return await asyncio.to_thread(self._file.position)

    def _step(self) -> None:
        self._steps += 1

    async def _lock(self, *, wait: bool) -> BaseFileLock | None:
        from filelock import FileLock, Timeout

        lock = FileLock(self._paths.run / "container-log.lock")
        while True:
            try:
                taken = lock.acquire(timeout=0).lock
                self._waits = False
                return taken
            except Timeout:
                if not wait:
                    return None
                self._waits = True
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
            self._step()
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
    spool = Spool(finder, paths, container_id, name)
    copying = asyncio.create_task(_run(spool), name="spool")
    # The server in the container writes a log of its own, too.
    bounding = asyncio.create_task(keep_bounded(paths.logs / SEEDER_LOG), name="bound")
    try:
        async with contextlib.aclosing(container_lines(finder, container_id)) as batches:
            async for batch in batches:
                yield batch
        if why := await _given_up(copying, spool):
            logger("docker").warning(
                "container.log is not whole yet: %s The rest is copied when somebody looks at it,"
                " or before the container %s is removed.",
                why,
                name,
            )
    finally:
        copying.cancel()
        bounding.cancel()
        await asyncio.wait([copying, bounding])


async def copy_rest(finder: EngineFinder, paths: Paths, container_id: str, name: str) -> None:
    """Copy what container.log still lacks of a container that has ended, before it is removed.

    Goes on for as long as lines come and are written, a minute at most. What it could not copy is
    told to the person and logged.
    """
    spool = Spool(finder, paths, container_id, name)
    copying = asyncio.create_task(_run(spool), name="copy the rest")
    try:
        why = await _given_up(copying, spool)
    finally:
        copying.cancel()
        await asyncio.wait([copying])
    if copying.cancelled() or not copying.result():
        missing = await _missing(finder, spool, container_id)
        if missing:
            text = f"container.log {missing} of the container {name} ({container_id[:12]})."
            write_failures.append(text)
            logger("docker").warning("%s %s", text, why or "Docker did not give them.")


async def _given_up(copying: asyncio.Task[bool], spool: Spool) -> str:
    """Wait for a copy for as long as it gets on; why it is hopeless, empty when it has ended."""
    began = time.monotonic()
    seen, quiet_s = spool.progress, 0.0
    while quiet_s < spool.stuck_after_s:
        # Counted in looks: in a time when this process was stopped nothing could get on.
        await asyncio.wait([copying], timeout=_WATCH_S)
        if copying.done():
            return ""
        if time.monotonic() - began > _REST_S:
            return f"It could not be copied in {_REST_S:.0f} s."
        now = spool.progress
        quiet_s = quiet_s + _WATCH_S if now == seen else 0.0
        seen = now
    return f"For {quiet_s:.0f} s nothing was read or written."


async def _missing(finder: EngineFinder, spool: Spool, container_id: str) -> str:
    """`lacks the lines after …`: what was not copied; empty when it turns out that all was."""
    from docker.errors import APIError

    there: str | None = ""
    exact = True
    with contextlib.suppress(APIError, TorbizError, TimeoutError):
        async with asyncio.timeout(_LAST_STAMP_S):
            there = await last_stamp(finder, container_id)
            # Podman's stamps stand for many lines.
            exact = not (await finder.engine()).facts.podman
    here: Position | None = None
    with contextlib.suppress(OSError):
        here = await spool.reached()
    if there is None or (exact and here is not None and here.stamp == there):
        return ""
    lacks = f"lacks the lines up to {there}" if there else "may lack the last lines"
    return f"{lacks} that came after {here.stamp}" if here is not None else lacks


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


async def _run(spool: Spool) -> bool:
    """Copy the log; whether it came to its end. What the engine refuses is logged."""
    try:
        await spool.run()
    except TorbizError as error:
        logger("docker").warning("container.log is not written: %s", error)
        return False
    return True
