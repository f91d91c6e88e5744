"""Watching one hosted server: its log, its condition, what it uses, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import time

from torbiz_tui.config import Config
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    ServerCondition,
    ServerRecord,
)
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.sharing.holding import HeldState
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.stages import has_time
from torbiz_tui.sharing.state import Phase, SharingEvent, SharingState, Stage

_CATCH_UP_S = 5.0
_FOLLOW_AGAIN_S = 3.0
# Whoever has stopped a server forgets it within moments.
_FORGOTTEN_WITHIN_S = 60.0


class ServerWatch:
    """Keeps the held state up with one server after another."""

    def __init__(self, driver: EnvironmentDriver, held: HeldState, config: Config) -> None:
        self._driver = driver
        self._held = held
        self._config = config
        self._watching: asyncio.Task[None] | None = None
        # What the state begins with when its log is read once more.
        self._anew: SharingState | None = None

    @property
    def going_on(self) -> bool:
        """Whether a server is being watched."""
        return self._watching is not None and not self._watching.done()

    async def begin(self, record: ServerRecord) -> None:
        """Watch this server from now on; returns when what its log told before has been read."""
        await self.finish(0)
        self._anew = None
        self._held.set(_started(record))
        caught_up = asyncio.Event()
        self._watching = asyncio.create_task(
            self._keep_watching(record, caught_up), name="watch the server"
        )
        # Who attaches wants to see at once what the log already tells.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_S):
                await caught_up.wait()

    async def _keep_watching(self, record: ServerRecord, caught_up: asyncio.Event) -> None:
        """Watch to the end; what goes wrong with watching is told, and tried again."""
        while True:
            try:
                await self._watch_server(record, caught_up)
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not end silently)
                self._tell_failure(error)
                caught_up.set()
            else:
                return
            await asyncio.sleep(_FOLLOW_AGAIN_S)
            # The log is read from its start again; until then all stays as it was.
            self._anew = _started(record)

    def _tell_failure(self, error: Exception) -> None:
        logger("sharing").error("watching failed", exc_info=error)
        what = type(error).__name__
        if isinstance(error, TorbizError):
            what = str(error)
        elif isinstance(error, OSError) and error.strerror:
            what = error.strerror
        lost = f"The server cannot be followed ({what})."
        if not self._held.now.lost:
            self._held.tell(f"{lost} app.log says more", warning=True, lost=lost)

    async def _watch_server(self, record: ServerRecord, caught_up: asyncio.Event) -> None:
        beside = [
            asyncio.create_task(self._measure(record), name="sample the server"),
            asyncio.create_task(self._watch_condition(record), name="watch its condition"),
        ]
        try:
            report = await self._watch_run(record, caught_up)
            while self._held.now.phase is not Phase.STOPPING and await self._runs_again(record):
                self._held.set(_started(record))
                report = await self._watch_run(record, caught_up)
            if self._held.now.phase is not Phase.STOPPING:
                await self._tell_end(record, report)
            caught_up.set()
        finally:
            for task in beside:
                task.cancel()
            for failed in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(failed, Exception):
                    logger("sharing").error("watching failed", exc_info=failed)

    async def _watch_run(self, record: ServerRecord, caught_up: asyncio.Event) -> ExitReport:
        running = await self._seems_running(record)
        before = ""
        async for lines in self._driver.server_lines(record):
            state, self._anew = self._anew or self._held.now, None
            for line in lines:
                state = take_line(state, line, before)
                if has_time(line):
                    before = line
            if state is not self._held.now:
                self._held.set(state)
            if running:
                caught_up.set()
        return await self._driver.wait_server(record)

    async def _runs_again(self, record: ServerRecord) -> bool:
        """Whether somebody has started the same one again, as `docker restart` does."""
        with contextlib.suppress(TorbizError):
            return await self._driver.is_running(record)
        return False

    async def _seems_running(self, record: ServerRecord) -> bool:
        try:
            return await self._driver.is_running(record)
        except TorbizError:
            # An engine that does not answer has not ended it.
            return True

    async def _watch_condition(self, record: ServerRecord) -> None:
        async for condition in self._driver.conditions(record):
            if self._held.now.active:
                self._take_condition(condition)

    def _take_condition(self, condition: ServerCondition) -> None:
        held = self._held
        if condition.lost:
            if held.now.lost:
                held.change(lost=condition.lost)
                return
            text = f"{condition.lost} Until it answers again nobody knows how the server is"
            held.tell(text, warning=True, lost=condition.lost)
            return
        if held.now.lost and self._anew is None:
            held.tell("Docker answers again, and the server is still running", lost="")
        if condition.paused != held.now.paused:
            text = (
                "Paused from outside: the server is frozen and answers nobody"
                if condition.paused
                else "No longer paused: the server goes on"
            )
            held.tell(text, warning=condition.paused, paused=condition.paused)

    async def _tell_end(self, record: ServerRecord, report: ExitReport) -> None:
        remembered: ServerRecord | None = record
        with contextlib.suppress(TorbizError):
            remembered = await self._driver.find_server()
        if report.asked or remembered is None or remembered.id != record.id:
            ended_at = report.ended_at
            if ended_at is not None and time.time() - ended_at > _FORGOTTEN_WITHIN_S:
                # Who stopped it has left before; it is told once.
                with contextlib.suppress(TorbizError, OSError):
                    await self._driver.forget_server(record)
            text = "The server was stopped from elsewhere"
            events = self._held.with_event(text)
            self._held.set(SharingState(exit_report=report, events=events))
            return
        from torbiz_tui.sharing.ending import explain_end, known_end

        state = self._held.now
        failure, remedy = explain_end(state, report)
        logger("sharing").error("%s: %s %s", record.id, failure, report)
        self._held.tell(
            failure,
            warning=True,
            phase=Phase.FAILED,
            exit_report=report,
            failure=failure,
            remedy=remedy,
            ended_by=known_end(state, report),
            resources=None,
            gpu=None,
            requests_open=0,
            paused=False,
            pauses="",
            restart_at=None,
            lost="",
        )

    async def _measure(self, record: ServerRecord) -> None:
        from torbiz_tui.sharing.fitting import computes_on_gpu
        from torbiz_tui.sharing.measuring import measure

        on_gpu = computes_on_gpu(record.spec, self._config, self._driver.name)
        await measure(self._driver, record, self._held, on_gpu=on_gpu)

    async def finish(self, patience_s: float) -> None:
        """Stop watching; it may come to the end of the log first, for so many seconds."""
        task, self._watching = self._watching, None
        if task is None:
            return
        if patience_s:
            await asyncio.wait([task], timeout=patience_s)
        task.cancel()
        await asyncio.wait([task])


def _started(record: ServerRecord) -> SharingState:
    spec = record.spec
    told = ((spec.fit_note, False), (spec.fit_warning, True))
    return SharingState(
        phase=Phase.STARTING,
        stage=Stage.LAUNCHING,
        spec=record.spec,
        pid=record.pid,
        container=record.container or None,
        container_id=record.id if record.container else None,
        started_at=record.started_at,
        events=tuple(
            SharingEvent(record.started_at, text, warning) for text, warning in told if text
        ),
    )
