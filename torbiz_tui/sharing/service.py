"""The sharing service: one hosted server, started, watched, re-attached to and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import AbstractContextManager
from dataclasses import replace as changed

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.catalogue import RELEASE, ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    ServerCondition,
    ServerRecord,
    ServerSpec,
)
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.naming import called_in_swarm
from torbiz_tui.sharing.downloads import download_failure
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.remembering import SwarmMemory
from torbiz_tui.sharing.hub_token import secrets_for_server
from torbiz_tui.sharing.request import ShareRequest, check_blocks, make_spec, require_name
from torbiz_tui.sharing.stages import EVENTS_KEPT
from torbiz_tui.sharing.state import Phase, SharingEvent, SharingState, Stage

_LOOK_AGAIN_S = 3.0
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
        self._looking: asyncio.Task[None] | None = None
        self._broadcast: Broadcast[SharingState] = Broadcast()
        self._busy = asyncio.Lock()
        self._stop_now = asyncio.Event()
        self._memory = SwarmMemory(paths)

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
            swarm_name=swarm.name,
        )

    async def attach(self) -> SharingState:
        """Find a server that was started earlier and watch it; harmless to repeat.

        Where nobody can tell whether there is one (no engine answers), the state says so in `lost`
        and the search goes on.
        """
        async with self._busy:
            if self._watching is not None and not self._watching.done():
                return self._state
            try:
                record = await self._driver.find_server()
            except TorbizError as error:
                self._set(changed(self._state, lost=f"{error.what} {error.why}".strip()))
                self._look_again()
                return self._state
            self._set_found()
            if record is not None and record != self._record:
                await self._watch(record)
            return self._state

    def _set_found(self) -> None:
        if self._state.lost:
            self._set(changed(self._state, lost=""))

    def _look_again(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking(), name="look for a server")

    async def _keep_looking(self) -> None:
        while self._state.lost and not self._state.active:
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self.attach()

    async def start(
        self, request: ShareRequest, *, replace: bool = False, hub_token: str = ""
    ) -> None:
        """Check the request and launch the server; its progress is in the state.

        `replace` removes a foreign container that has the name; `hub_token` goes before a token of
        the environment. Raises as `plan` does, and TorbizError when it cannot be started.
        """
        async with self._busy:
            spec = await self.plan(request, hub_token=hub_token)
            in_container = self._driver.name == "docker"
            secrets = secrets_for_server(os.environ, hub_token, in_container=in_container)
            record = await self._driver.start_server(spec, secrets, replace=replace)
            await self._watch(record)

    async def command_text(
        self, request: ShareRequest | None = None, *, model: ModelInfo | None = None
    ) -> str:
        """The command that starts this request, or the running server; it holds no token.

        `model` are its facts where they are known already. Raises as `plan` does, and TorbizError where no engine answers.
        """
        spec = self._state.spec if request is None else await self.plan(request, model)
        return await self._driver.command_text(spec or await self.plan(self.default_request()))

    async def plan(
        self, request: ShareRequest, model: ModelInfo | None = None, *, hub_token: str = ""
    ) -> ServerSpec:
        """What would be started: with the blocks that fit, and what is to be said of them.

        `model` are its facts where they are known already; else they are read, from the hub with
        `hub_token` where one is given. Raises UsageError for what cannot be served, TorbizError (`does_not_fit`) when not one block
        fits and the request does not say `anyway`.
        """
        # The image holds the release alone.
        channel = RELEASE if self._driver.name == "docker" else self._config.petals.channel
        from torbiz_tui.catalogue import resolve_model
        from torbiz_tui.sharing.fitting import fitting_blocks

        name = require_name(request.model)
        if model is None:
            model = await resolve_model(name, self._paths, channel=channel, token=hub_token)
        model = called_in_swarm(model, request.model, self._config)
        check_blocks(request.blocks, model)
        if self._state.active:
            # That one has the memory now, and there is no second one.
            return make_spec(request, model)
        chosen = await fitting_blocks(request, model, self._config, self._paths, self._driver.name)
        spec = make_spec(changed(request, blocks=chosen.blocks), model)
        return changed(spec, fit_note=chosen.note, fit_warning=chosen.warning)

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
        known = self._state.ended_by
        if report is not None and (failed := download_failure(report.last_lines)) is not None:
            raise failed
        raise TorbizError(
            self._state.failure or "The server has ended before it was serving.",
            why=known.cause if known is not None else "",
            remedy=self._state.remedy,
            code="server_failed",
            details=report.last_lines if report is not None else (),
            symptom=known.symptom.id if known is not None else "",
        )

    async def stop(self, *, now: bool = False) -> ExitReport | None:
        """Stop the server gracefully; None when none was running.

        What is being answered gets `share.drain_s` to finish, unless `now`; that also cuts short a
        stop that waits for it. Raises TorbizError when nobody can tell or stop it (an engine that
        does not answer).
        """
        if now:
            self._stop_now.set()
        async with self._busy:
            if not now:
                self._stop_now.clear()
            record = self._record or await self._driver.find_server()
            if record is None:
                return None
            running = await self._driver.is_running(record)
            before = self._state.phase
            if running:
                self._set(changed(self._state, phase=Phase.STOPPING))
            try:
                report = None
                if running and self._state.requests_open:
                    report = await self._drain(record)
                if report is None:
                    grace_s = self._config.share.stop_grace_s
                    report = await self._driver.stop_server(record, grace_s)
            except TorbizError:
                self._set(changed(self._state, phase=before))
                raise
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

    async def _drain(self, record: ServerRecord) -> ExitReport | None:
        """Wait until it has finished what it is answering and ended; None when it goes on."""
        longest = self._config.share.drain_s
        if self._stop_now.is_set() or self._state.paused or longest <= 0:
            return None
        if not await self._driver.drain_server(record):
            return None
        text = f"Finishing what is being answered, for {longest:.0f} s at most"
        self._set(changed(self._state, draining=True, events=self._with_event(text)))
        ended = asyncio.create_task(self._driver.wait_server(record), name="wait for the drain")
        told = asyncio.create_task(self._stop_now.wait(), name="wait for a second stop")
        waits = (ended, told)
        try:
            await asyncio.wait(waits, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            # It was asked to, though a container's engine knows nothing of that.
            return changed(ended.result(), asked=True) if ended.done() else None
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            self._set(changed(self._state, draining=False))

    @property
    def _grace(self) -> str:
        return f"{self._config.share.stop_grace_s:.0f} s"

    async def close(self) -> None:
        """Stop watching; the server goes on."""
        if self._looking is not None:
            self._looking.cancel()
        await self._stop_watching()
        await self._memory.close()

    async def _watch(self, record: ServerRecord) -> None:
        await self._stop_watching()
        self._record = record
        self._set(_started(record))
        caught_up = asyncio.Event()
        self._watching = asyncio.create_task(
            self._watch_server(record, caught_up), name="watch the server"
        )
        # Who attaches wants to see at once what the log already tells.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_S):
                await caught_up.wait()

    async def _watch_server(self, record: ServerRecord, caught_up: asyncio.Event) -> None:
        beside = [
            asyncio.create_task(self._watch_resources(record), name="sample the server"),
            asyncio.create_task(self._watch_condition(record), name="watch its condition"),
        ]
        try:
            report = await self._watch_run(record, caught_up)
            while self._state.phase is not Phase.STOPPING and await self._runs_again(record):
                self._set(_started(record))
                report = await self._watch_run(record, caught_up)
            if self._state.phase is not Phase.STOPPING:
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
        async for lines in self._driver.server_lines(record):
            state = self._state
            for line in lines:
                state = take_line(state, line)
            if state is not self._state:
                self._set(state)
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
            if self._state.active:
                self._take_condition(condition)

    def _take_condition(self, condition: ServerCondition) -> None:
        state = self._state
        if condition.lost:
            events = state.events
            if not state.lost:
                text = f"{condition.lost} Until it answers again nobody knows how the server is"
                events = self._with_event(text, warning=True)
            self._set(changed(state, lost=condition.lost, events=events))
            return
        if state.lost:
            text = "Docker answers again, and the server is still running"
            self._set(changed(state, lost="", events=self._with_event(text)))
        if condition.paused != self._state.paused:
            text = (
                "Paused from outside: the server is frozen and answers nobody"
                if condition.paused
                else "No longer paused: the server goes on"
            )
            events = self._with_event(text, warning=condition.paused)
            self._set(changed(self._state, paused=condition.paused, events=events))

    async def _tell_end(self, record: ServerRecord, report: ExitReport) -> None:
        remembered: ServerRecord | None = record
        with contextlib.suppress(TorbizError):
            remembered = await self._driver.find_server()
        if report.asked or remembered is None or remembered.id != record.id:
            text = "The server was stopped from elsewhere"
            self._set(SharingState(exit_report=report, events=self._with_event(text)))
            return
        from torbiz_tui.sharing.ending import explain_end, known_end

        failure, remedy = explain_end(self._state, report)
        logger("sharing").error("%s: %s %s", record.id, failure, report)
        self._set(
            changed(
                self._state,
                phase=Phase.FAILED,
                exit_report=report,
                failure=failure,
                remedy=remedy,
                ended_by=known_end(self._state, report),
                resources=None,
                requests_open=0,
                paused=False,
                lost="",
                events=self._with_event(failure, warning=True),
            )
        )

    async def _watch_resources(self, record: ServerRecord) -> None:
        async for sample in self._driver.samples(record):
            if self._state.active:
                self._set(changed(self._state, resources=sample))

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
        self._memory.note(state)
        self._broadcast.publish(state)


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


__all__ = ["ShareRequest", "SharingService"]
