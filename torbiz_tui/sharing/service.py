"""The sharing service: one hosted server, started, watched, re-attached to and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import AbstractContextManager
from dataclasses import replace

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.catalogue import resolve_model
from torbiz_tui.config import Config
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    ServerRecord,
)
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.ending import explain_end
from torbiz_tui.sharing.request import ShareRequest, make_spec, require_name
from torbiz_tui.sharing.stages import EVENTS_KEPT, advance
from torbiz_tui.sharing.state import Phase, SharingEvent, SharingState, Stage

_SAMPLE_S = 1.0
_SECRET_VARIABLES = ("TORBIZ_NODE_TOKEN",)
_LAST_WORDS_S = 3.0
_CATCH_UP_S = 5.0


class SharingService:
    """Owns what the app knows of the hosted server; the server itself is on its own."""

    def __init__(self, driver: EnvironmentDriver, paths: Paths, config: Config) -> None:
        self._driver = driver
        self._paths = paths
        self._config = config
        self._state = SharingState()
        self._record: ServerRecord | None = None
        self._watching: asyncio.Task[None] | None = None
        self._broadcast: Broadcast[SharingState] = Broadcast()
        self._busy = asyncio.Lock()

    @property
    def state(self) -> SharingState:
        """The server as it is now, as far as it is known."""
        return self._state

    def subscribe(self) -> AbstractContextManager[Subscription[SharingState]]:
        """Listen to every change of the state."""
        return self._broadcast.subscribe()

    def default_request(self, model: str | None = None) -> ShareRequest:
        """What the configuration says, for `model` or the configured one."""
        share, swarm = self._config.share, self._config.swarm
        return ShareRequest(
            model=model or self._config.model,
            blocks=share.blocks,
            device=share.device,
            torch_dtype=share.torch_dtype,
            quantization=share.quantization,
            throughput=share.throughput,
            port=share.port,
            new_swarm=swarm.new_swarm and not swarm.initial_peers,
            initial_peers=tuple(swarm.initial_peers),
            public_name=share.public_name,
            announce_maddrs=tuple(share.announce_maddrs),
            attn_cache_tokens=share.attn_cache_tokens,
            loopback=self._config.demo,
        )

    async def attach(self) -> SharingState:
        """Find a server that was started earlier and watch it; harmless to repeat."""
        async with self._busy:
            if self._watching is not None and not self._watching.done():
                return self._state
            record = await self._driver.find_server()
            if record is not None and record != self._record:
                await self._watch(record)
            return self._state

    async def start(self, request: ShareRequest) -> None:
        """Check the request and launch the server; its progress is in the state.

        Raises UsageError for what cannot be served, TorbizError when it cannot be started.
        """
        async with self._busy:
            model = await resolve_model(require_name(request.model), self._paths)
            spec = make_spec(request, model)
            secrets = {name: os.environ[name] for name in _SECRET_VARIABLES if name in os.environ}
            record = await self._driver.start_server(spec, secrets)
            await self._watch(record)

    async def wait_serving(self, timeout_s: float | None = None) -> SharingState:
        """Wait until the blocks are served. Raises TorbizError when that fails or takes longer."""
        with self.subscribe() as changes:
            try:
                async with asyncio.timeout(timeout_s):
                    if self._state.phase is Phase.STARTING:
                        async for state in changes:
                            if state.phase is not Phase.STARTING:
                                break
            except TimeoutError:
                raise TorbizError(
                    f"The server is not serving yet after {timeout_s:.0f} s"
                    f" ({self._state.stage_text or 'starting'}).",
                    remedy="It goes on in the background; see `torbiz-tui status` and the logs.",
                    code="not_serving_yet",
                ) from None
        if self._state.phase is Phase.SERVING:
            return self._state
        report = self._state.exit_report
        raise TorbizError(
            self._state.failure or "The server has ended before it was serving.",
            remedy=self._state.remedy,
            code="server_failed",
            details=report.last_lines if report is not None else (),
        )

    async def stop(self) -> ExitReport | None:
        """Stop the server gracefully; None when none was running."""
        async with self._busy:
            record = self._record or await self._driver.find_server()
            if record is None:
                return None
            running = await self._driver.is_running(record)
            if running:
                self._set(replace(self._state, phase=Phase.STOPPING))
            report = await self._driver.stop_server(record, self._config.share.stop_grace_s)
            if self._watching is not None:
                # What it said while it stopped belongs to its events.
                await asyncio.wait([self._watching], timeout=_LAST_WORDS_S)
            await self._stop_watching()
            await self._driver.forget_server(record)
            self._record = None
            if not running:
                self._set(SharingState())
                return None
            text = "Stopped sharing"
            if report.killed:
                text = f"The server did not stop within {self._grace} and was killed"
            self._set(
                SharingState(
                    exit_report=report, events=self._with_event(text, warning=report.killed)
                )
            )
            return report

    @property
    def _grace(self) -> str:
        return f"{self._config.share.stop_grace_s:.0f} s"

    async def close(self) -> None:
        """Stop watching; the server goes on."""
        await self._stop_watching()

    async def _watch(self, record: ServerRecord) -> None:
        await self._stop_watching()
        self._record = record
        self._set(
            SharingState(
                phase=Phase.STARTING,
                stage=Stage.LAUNCHING,
                spec=record.spec,
                pid=record.pid,
                started_at=record.started_at,
            )
        )
        caught_up = asyncio.Event()
        self._watching = asyncio.create_task(
            self._watch_server(record, caught_up), name="watch the server"
        )
        # Who attaches wants to see at once what the log already tells.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_S):
                await caught_up.wait()

    async def _watch_server(self, record: ServerRecord, caught_up: asyncio.Event) -> None:
        sampling = asyncio.create_task(self._watch_resources(record), name="sample the server")
        try:
            running = await self._driver.is_running(record)
            async for lines in self._driver.server_lines(record):
                state = self._state
                for line in lines:
                    state = advance(state, line)
                if state is not self._state:
                    self._set(state)
                if running:
                    caught_up.set()
            report = await self._driver.wait_server(record)
            if self._state.phase is not Phase.STOPPING:
                await self._tell_end(record, report)
            caught_up.set()
        finally:
            sampling.cancel()

    async def _tell_end(self, record: ServerRecord, report: ExitReport) -> None:
        remembered = await self._driver.find_server()
        if report.asked or remembered is None or remembered.pid != record.pid:
            text = "The server was stopped from elsewhere"
            self._set(SharingState(exit_report=report, events=self._with_event(text)))
            return
        failure, remedy = explain_end(self._state, report)
        logger("sharing").error("pid %d: %s %s", record.pid, failure, report)
        self._set(
            replace(
                self._state,
                phase=Phase.FAILED,
                exit_report=report,
                failure=failure,
                remedy=remedy,
                resources=None,
                requests_open=0,
                events=self._with_event(failure, warning=True),
            )
        )

    async def _watch_resources(self, record: ServerRecord) -> None:
        while (sample := await self._driver.sample(record)) is not None:
            if self._state.active:
                self._set(replace(self._state, resources=sample))
            await asyncio.sleep(_SAMPLE_S)

    async def _stop_watching(self) -> None:
        task, self._watching = self._watching, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            logger("sharing").error("watching failed", exc_info=error)

    def _with_event(self, text: str, *, warning: bool = False) -> tuple[SharingEvent, ...]:
        return (*self._state.events, SharingEvent(time.time(), text, warning))[-EVENTS_KEPT:]

    def _set(self, state: SharingState) -> None:
        self._state = state
        self._broadcast.publish(state)


__all__ = ["ShareRequest", "SharingService"]
