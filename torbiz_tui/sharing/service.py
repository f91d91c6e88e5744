"""The sharing service: one hosted server, started, watched, re-attached to and stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace as changed
from typing import TYPE_CHECKING

from torbiz_tui.broadcast import Subscription
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.environments.base import EnvironmentDriver, ExitReport, ServerRecord, ServerSpec
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.pickled_weights import AllowedPickles
from torbiz_tui.private_swarms.naming import called_in_swarm
from torbiz_tui.sharing.downloads import download_failure
from torbiz_tui.sharing.draining import drain
from torbiz_tui.sharing.holding import HeldState
from torbiz_tui.sharing.hub_token import secrets_for_server
from torbiz_tui.sharing.parting import parting
from torbiz_tui.sharing.preparing import Preparations, ignored
from torbiz_tui.sharing.remembering import friends_of
from torbiz_tui.sharing.state import Phase, SharingState
from torbiz_tui.sharing.watching import ServerWatch

if TYPE_CHECKING:
    from torbiz_tui.sharing.request import ShareRequest

_LOOK_AGAIN_S = 3.0
_LAST_WORDS_S = 3.0


class SharingService:
    """Owns what the app knows of the hosted server; the server itself is on its own."""

    def __init__(self, driver: EnvironmentDriver, paths: Paths, config: Config) -> None:
        self._driver = driver
        self._paths = paths
        self._config = config
        self._held = HeldState(paths)
        self._watch = ServerWatch(driver, self._held, config)
        self._record: ServerRecord | None = None
        self._looking: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()
        self._stop_now = asyncio.Event()
        self._preparations = Preparations(driver, paths)

    @property
    def state(self) -> SharingState:
        """The server as it is now, as far as it is known."""
        return self._held.now

    def subscribe(self) -> AbstractContextManager[Subscription[SharingState]]:
        """Listen to every change of the state."""
        return self._held.subscribe()

    def default_request(self, model: str | None = None) -> ShareRequest:
        """What the configuration says, for `model` or the configured one.

        A revision that is configured is one of the configured model.
        """
        from torbiz_tui.sharing.petals_options import normalised, without_revision
        from torbiz_tui.sharing.request import ShareRequest

        share, swarm = self._config.share, self._config.swarm
        options = normalised(share.petals_options)
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
            petals_options=options
            if not model or model == self._config.model
            else without_revision(options),
            swarm_name=swarm.name,
            hours=share.hours,
            mains_only=share.mains_only,
            pause_when_busy=share.pause_when_busy,
            reserve_percent=share.reserve_percent,
            restart_on_crash=share.restart_on_crash,
        )

    async def attach(self) -> SharingState:
        """Find a server that was started earlier and watch it; harmless to repeat.

        Where nobody can tell whether there is one (no engine answers), the state says so in `lost`
        and the search goes on.
        """
        async with self._busy:
            if self._watch.going_on:
                return self.state
            try:
                record = await self._driver.find_server()
            except TorbizError as error:
                self._held.change(lost=f"{error.what} {error.why}".strip())
                self._look_again()
                return self.state
            if self.state.lost:
                self._held.change(lost="")
            if record is not None and record != self._record:
                await self._begin_watching(record)
            return self.state

    async def _begin_watching(self, record: ServerRecord) -> None:
        self._record = record
        await self._watch.begin(record)

    def _look_again(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking(), name="look for a server")

    async def _keep_looking(self) -> None:
        while self.state.lost and not self.state.active:
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self.attach()

    async def start(
        self, request: ShareRequest, *, replace: bool = False, hub_token: str = ""
    ) -> None:
        """Check the request and launch the server; its progress is in the state.

        `replace` removes a foreign container that has the name; `hub_token` goes before a token of
        the environment. Raises as `plan` does, and TorbizError when it cannot be started, or was
        stopped before there was a server (`start_stopped`).
        """
        async with self._busy:
            spec = await self.plan(request, hub_token=hub_token)
            async with self._preparations.for_start(spec, self._held):
                if request.allow_pickled:
                    await asyncio.to_thread(AllowedPickles(self._paths).allow, spec.source)
                friends = await asyncio.to_thread(friends_of, spec, self._paths)
                spec = changed(spec, known_peers=friends)
                in_container = self._driver.name == "docker"
                secrets = secrets_for_server(os.environ, hub_token, in_container=in_container)
                record = await self._driver.start_server(spec, secrets, replace=replace)
                await self._begin_watching(record)

    async def command_text(
        self, request: ShareRequest | None = None, *, model: ModelInfo | None = None
    ) -> str:
        """The command that starts this request, or the running server; it holds no token.

        `model` are its facts where they are known already. Raises as `plan` does, and TorbizError where no engine answers.
        """
        spec = self.state.spec if request is None else await self.plan(request, model)
        return await self._driver.command_text(spec or await self.plan(self.default_request()))

    async def plan(
        self, request: ShareRequest, model: ModelInfo | None = None, *, hub_token: str = ""
    ) -> ServerSpec:
        """What would be started: with the blocks that fit, and what is to be said of them.

        `model` are its facts where they are known already; else they are read, from the hub with
        `hub_token` where one is given. Raises UsageError for what cannot be served, TorbizError (`does_not_fit`) when not one block
        fits and the request does not say `anyway`.
        """
        channel = self._config.petals.channel
        from torbiz_tui.catalogue import resolve_model
        from torbiz_tui.sharing.fitting import fitting_blocks
        from torbiz_tui.sharing.petals_options import require_hosting, value_of
        from torbiz_tui.sharing.request import check_blocks, make_spec, require_name

        name = require_name(request.model)
        if model is None:
            revision = str(value_of(request.petals_options, "revision") or "")
            model = await resolve_model(
                name, self._paths, channel=channel, token=hub_token, revision=revision
            )
        require_hosting(request.petals_options, self._driver.name)
        model = called_in_swarm(model, request.model, self._config)
        if await asyncio.to_thread(AllowedPickles(self._paths).allows, model.source):
            request = changed(request, allow_pickled=True)
        check_blocks(request.blocks, model)
        if self.state.active:
            # That one has the memory now, and there is no second one.
            return make_spec(request, model)
        chosen = await fitting_blocks(
            request,
            model,
            self._config,
            self._paths,
            self._driver.name,
            await self._driver.machine_memory(),
        )
        spec = make_spec(changed(request, blocks=chosen.blocks), model)
        return changed(spec, fit_note=chosen.note, fit_warning=chosen.warning)

    async def check(
        self, request: ShareRequest, *, hub_token: str = "", told: Callable[[str], None] = ignored
    ) -> ServerSpec:
        """What would be started, once all that it needs besides is there; `told` how that goes.

        Raises as `plan` does, and TorbizError when something cannot be had, or was stopped.
        """
        spec = await self.plan(request, hub_token=hub_token)
        await self._preparations.run(spec, told)
        return spec

    async def wait_serving(self, timeout_s: float | None = None) -> SharingState:
        """Wait until the blocks are served. Raises TorbizError when that fails or takes longer."""
        with self.subscribe() as changes:
            try:
                async with asyncio.timeout(timeout_s):
                    if self.state.phase is Phase.STARTING:
                        async for state in changes:
                            if state.phase is not Phase.STARTING:
                                break
            except TimeoutError:
                raise TorbizError(
                    f"The server is not serving yet after {timeout_s:.0f} s"
                    f" ({self.state.stage_text or 'starting'}).",
                    remedy="It goes on in the background; see `torbiz-tui status` and the logs.",
                    code="not_serving_yet",
                ) from None
        if self.state.phase is Phase.SERVING:
            return self.state
        report = self.state.exit_report
        known = self.state.ended_by
        if report is not None and (failed := download_failure(report.last_lines)) is not None:
            raise failed
        raise TorbizError(
            self.state.failure or "The server has ended before it was serving.",
            why=known.cause if known is not None else "",
            remedy=self.state.remedy,
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
        self._preparations.stop()
        if now:
            self._stop_now.set()
        async with self._busy:
            if not now:
                self._stop_now.clear()
            record = self._record or await self._driver.find_server()
            if self._preparations.stop_others() and record is None:
                return ExitReport(asked=True)
            if record is None:
                return None
            running = await self._driver.is_running(record)
            before = self.state.phase
            if running:
                self._held.change(phase=Phase.STOPPING)
            try:
                report = None
                if running and self.state.requests_open:
                    longest = self._config.share.drain_s
                    report = await drain(self._driver, record, self._held, longest, self._stop_now)
                if report is None:
                    grace_s = self._config.share.stop_grace_s
                    report = await self._driver.stop_server(record, grace_s)
            except TorbizError:
                self._held.change(phase=before)
                raise
            # What it said while it stopped belongs to its events.
            await self._watch.finish(_LAST_WORDS_S)
            await self._driver.forget_server(record)
            self._record = None
            if not running:
                self._held.set(SharingState())
                return None
            text = parting(self.state)
            if report.killed:
                text = f"The server did not stop within {self._grace} and was killed"
            events = self._held.with_event(text, warning=report.killed)
            self._held.set(SharingState(exit_report=report, events=events))
            return report

    @property
    def _grace(self) -> str:
        return f"{self._config.share.stop_grace_s:.0f} s"

    async def close(self) -> None:
        """Stop watching; the server goes on."""
        if self._looking is not None:
            self._looking.cancel()
        await self._watch.finish(0)
        await self._held.close()
