"""Services that answer as a test says, for the wiring of the command line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from torbiz_tui.assembly import Services
from torbiz_tui.broadcast import Broadcast
from torbiz_tui.config import Config
from torbiz_tui.environments.base import Environment, ExitReport, ResourceSample, ServerSpec
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import ChatEvent, GenerateOptions, Message
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths
from torbiz_tui.setup.plan import SetupPlan
from torbiz_tui.setup.step import CheckResult, Reporter, Step
from torbiz_tui.sharing.request import ShareRequest
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, SharingState, Stage


class ScriptedStep(Step):
    """A step that finds what it is told to, and is ready once applied."""

    id = "stack"
    title = "The stack"

    def __init__(self, found: CheckResult) -> None:
        self.found = found
        self.applied = False

    async def check(self) -> CheckResult:
        return self.found

    async def apply(self, report: Reporter) -> None:
        self.applied = True
        report.progress(0.5, "half of it")
        self.found = CheckResult.ready("there")


@dataclass
class ScriptedInference:
    """Answers with the events it was given; an error among them is raised, None waits for ever."""

    model: str
    events: Sequence[ChatEvent | TorbizError | None] = ()
    asked: list[tuple[list[Message], GenerateOptions]] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)
    local: bool = False
    cancelled: bool = False
    closed: bool = False
    pickled_allowed: bool = False
    revision: str = ""
    adapter: str | None = None

    async def allow_pickled(self) -> None:
        self.pickled_allowed = True
        self.events = [event for event in self.events if not isinstance(event, TorbizError)]

    def choose(
        self,
        model: str,
        *,
        local: bool | None = None,
        revision: str = "",
        adapter: str | None = None,
    ) -> None:
        self.model = model
        self.revision = revision
        self.adapter = adapter
        if local is not None:
            self.local = local

    async def ask(
        self, messages: Sequence[Message], options: GenerateOptions, *, conversation: str = ""
    ) -> AsyncIterator[ChatEvent]:
        self.asked.append((list(messages), options))
        self.conversations.append(conversation)
        try:
            for event in self.events:
                if isinstance(event, TorbizError):
                    raise event
                if event is None:
                    sys.stderr.write("waiting\n")
                    sys.stderr.flush()
                    await asyncio.Event().wait()
                else:
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled = True
            raise

    async def close(self) -> None:
        self.closed = True


class ScriptedSharing:
    """A server that becomes what `becomes` says as soon as it is started."""

    def __init__(self, config: Config, becomes: SharingState | None = None) -> None:
        self._requests = SharingService(cast("Environment", None), cast("Paths", None), config)  # type: ignore[arg-type]
        self._broadcast: Broadcast[SharingState] = Broadcast()
        self.default_request: Callable[..., ShareRequest] = self._requests.default_request
        self.subscribe = self._broadcast.subscribe
        self.state = SharingState()
        self.becomes = becomes or SharingState()
        self.started: ShareRequest | None = None
        self.stopped_now: bool | None = None
        self.refusal: TorbizError | None = None
        self.fit_note = ""
        self.tells = SharingState(phase=Phase.STARTING, stage=Stage.CONNECTING)

    async def attach(self) -> SharingState:
        return self.state

    async def command_text(self, request: ShareRequest) -> str:
        return f"docker run torbiz {request.model}"

    async def plan(self, request: ShareRequest) -> ServerSpec:
        if self.refusal is not None and not request.anyway:
            raise self.refusal
        return ServerSpec(request.model, request.model, 8, fit_note=self.fit_note)

    async def start(self, request: ShareRequest, *, replace: bool = False) -> None:
        self.started = request
        self.state = self.becomes
        self._broadcast.publish(self.tells)

    async def wait_serving(self, timeout_s: float | None = None) -> SharingState:
        await asyncio.sleep(0)
        if self.state.phase is not Phase.SERVING:
            raise TorbizError("The server has ended before it was serving.")
        return self.state

    async def stop(self, *, now: bool = False) -> ExitReport | None:
        self.stopped_now = now
        return ExitReport(code=0, asked=True) if self.state.active else None

    async def close(self) -> None:
        return None


@dataclass
class Scene:
    """What the fake services are made of; `build` takes the place of `build_services`."""

    step: ScriptedStep = field(default_factory=lambda: ScriptedStep(CheckResult.ready("there")))
    events: Sequence[ChatEvent | TorbizError | None] = ()
    state: SharingState = field(default_factory=SharingState)
    becomes: SharingState = field(default_factory=SharingState)
    refusal: TorbizError | None = None
    fit_note: str = ""
    tells: SharingState | None = None
    config: Config | None = None
    inference: ScriptedInference | None = None
    sharing: ScriptedSharing | None = None

    def build(self, config: Config, paths: Paths) -> Services:
        """Services of this scene."""
        self.config = config
        self.inference = ScriptedInference(config.model, self.events, local=config.ask.local)
        self.sharing = ScriptedSharing(config, self.becomes)
        self.sharing.state = self.state
        self.sharing.refusal = self.refusal
        self.sharing.fit_note = self.fit_note
        self.sharing.tells = self.tells or self.sharing.tells
        services = Services(
            paths=paths,
            config=config,
            environment=_Environment(),  # type: ignore[arg-type]
            setup=SetupPlan([self.step]),
            sharing=cast(SharingService, self.sharing),
        )
        services.__dict__["inference"] = cast(InferenceService, self.inference)
        return services


class _Named:
    name = "native"

    async def machine_memory(self) -> int | None:
        return None


class _Environment:
    hosting = _Named()
    inference = _Named()


def serving(
    model: str = "torbiz-demo", address: str = "/ip4/192.0.2.7/tcp/1/p2p/Qm"
) -> SharingState:
    """A server that serves all of a model."""
    spec = ServerSpec(model, model, 8, new_swarm=True)
    return SharingState(
        phase=Phase.SERVING,
        stage=Stage.SERVING,
        spec=spec,
        pid=42,
        blocks=(0, 8),
        blocks_loaded=8,
        addresses=(address,),
        requests_total=3,
        resources=ResourceSample(12.0, 500 * 2**20, 4),
    )
