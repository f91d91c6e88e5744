"""What has to be brought before a server can start: told as a stage, and ended by a stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable

from torbiz_tui.environments.base import EnvironmentDriver, ServerSpec
from torbiz_tui.environments.processes import start_mark
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Reporter
from torbiz_tui.sharing.holding import HeldState
from torbiz_tui.sharing.refusals import START_STOPPED
from torbiz_tui.sharing.state import STAGE_TITLES, Phase, SharingEvent, SharingState, Stage

_STOPPED = "The start was stopped"
# A program that brings something has a file with its number; a stop of another one removes it.
_MARK = "preparing-"
_LOOK_S = 0.1


def ignored(_text: str) -> None:
    """For who does not tell it."""


class Preparations:
    """Those that are going on; most servers need none."""

    def __init__(self, driver: EnvironmentDriver, paths: Paths) -> None:
        self._driver = driver
        self._paths = paths
        self._running: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def for_start(self, spec: ServerSpec, held: HeldState) -> AsyncIterator[None]:
        """Bring what the server needs, as the first stage of the start that is made within.

        Raises TorbizError when that fails or is stopped (`start_stopped`). The state is then that
        of nothing that runs, and so it is where the start itself fails.
        """

        def tell(text: str) -> None:
            held.set(
                SharingState(
                    phase=Phase.STARTING,
                    stage=Stage.PREPARING,
                    preparing=text,
                    spec=spec,
                    started_at=begun,
                )
            )

        begun = time.time()
        try:
            await self._run(spec, tell)
            yield
        except BaseException as error:
            if held.now.stage is Stage.PREPARING:
                stopped = isinstance(error, TorbizError) and error.code == START_STOPPED
                events = (SharingEvent(time.time(), _STOPPED),) if stopped else ()
                held.set(SharingState(events=events))
            raise

    async def run(self, spec: ServerSpec, told: Callable[[str], None]) -> None:
        """Bring what the server needs, while another one may run; `told` gets how that goes.

        Raises TorbizError when it fails or is stopped.
        """
        title = STAGE_TITLES[Stage.PREPARING]
        await self._run(spec, lambda text: told(f"{title}: {text}" if text else f"{title} …"))

    def stop(self) -> None:
        """End all of them at once."""
        for task in self._running:
            task.cancel()

    def stop_others(self) -> bool:
        """End those of other programs of this home, and tell whether there were any."""
        living = False
        for mark in self._paths.run.glob(f"{_MARK}*"):
            number = mark.name.removeprefix(_MARK)
            living |= number.isdecimal() and start_mark(int(number)) is not None
            mark.unlink(missing_ok=True)
        return living

    async def _run(self, spec: ServerSpec, tell: Callable[[str], None]) -> None:
        log = logger("setup")
        mark = self._paths.run / f"{_MARK}{os.getpid()}"
        begun = False

        def progress(_fraction: float | None, text: str) -> None:
            nonlocal begun
            if not begun:
                with contextlib.suppress(OSError):
                    mark.touch()
                    begun = True
            tell(sanitize_line(text))

        report = Reporter(progress=progress, output=lambda line: log.info("%s", line))
        task = asyncio.create_task(self._driver.prepare_server(spec, report), name="prepare")
        self._running.add(task)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK_S)
                if begun and not mark.exists():
                    # It is cancelled once: a second time would cut off how it ends.
                    break
        finally:
            task.cancel()
            await asyncio.wait({task})
            self._running.discard(task)
            # Who has stopped it at its very end was told so, too.
            stopped = begun and not mark.exists()
            mark.unlink(missing_ok=True)
        if task.cancelled() or (stopped and task.exception() is None):
            raise TorbizError(f"{_STOPPED}.", code=START_STOPPED)
        task.result()
