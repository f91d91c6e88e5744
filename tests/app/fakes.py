"""Services that do what the contract says, without a process or a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from dataclasses import replace as changed
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.config import Config, DockerConfig, SwarmConfig
from torbiz_tui.download import Download
from torbiz_tui.environments.base import ExitReport, ServerSpec
from torbiz_tui.environments.docker.cleanup import Candidate, Cleaned
from torbiz_tui.environments.docker.docker_commands import DockerCommand, docker_commands
from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.environments.docker.engine import EngineFacts
from torbiz_tui.environments.docker.holdings import ContainerInfo, ImageInfo, Owner
from torbiz_tui.environments.docker.inventory import Overview
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    Route,
    RouteChanged,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.inference.history import History
from torbiz_tui.logs.sources import LogSource, log_sources
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.remembering import AskedSwarms
from torbiz_tui.setup.plan import SetupPlan
from torbiz_tui.setup.step import CheckResult, Reporter, Step
from torbiz_tui.sharing.request import ShareRequest
from torbiz_tui.sharing.state import Phase, SharingState
from torbiz_tui.swarm_map.monitor import Looking, SwarmEvent
from torbiz_tui.swarm_map.snapshot import Snapshot

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.catalogue import ModelInfo

SPEC = ServerSpec(model="torbiz-demo", source="/models/demo", num_blocks=8, new_swarm=True)


class FakeStep(Step):
    """Is missing until applied; `gate` holds `apply` until it is set."""

    id = "one"
    title = "First step"

    def __init__(
        self, result: CheckResult | None = None, *, error: TorbizError | None = None
    ) -> None:
        self.result = result or CheckResult.missing("not there yet")
        self.error = error
        self.gate = asyncio.Event()
        self.gate.set()
        self.lines: tuple[str, ...] = ("fetching", "done")
        self.fraction: float | None = 0.45
        self.applied = 0

    async def check(self) -> CheckResult:
        return self.result

    async def apply(self, report: Reporter) -> None:
        self.applied += 1
        for line in self.lines:
            report.output(line)
        report.progress(self.fraction, "half-way")
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.result = CheckResult.ready("there now")


def step(
    step_id: str, step_title: str, *step_needs: str, optional_step: bool = False
) -> type[FakeStep]:
    class Made(FakeStep):
        id: ClassVar[str] = step_id
        title: ClassVar[str] = step_title
        needs: ClassVar[tuple[str, ...]] = step_needs
        optional: ClassVar[bool] = optional_step

    return Made


class FakeSharing:
    """Goes where the test sends it with `become`."""

    def __init__(self) -> None:
        self.state = SharingState()
        self.request = ShareRequest("torbiz-demo", new_swarm=True, loopback=True)
        self.started: list[ShareRequest] = []
        self.tokens: list[str] = []
        self.stopped = 0
        self.stopped_now = False
        self.attached = 0
        self.error: Exception | None = None
        self._broadcast: Broadcast[SharingState] = Broadcast()

    def become(self, state: SharingState) -> None:
        self.state = state
        self._broadcast.publish(state)

    def subscribe(self) -> AbstractContextManager[Subscription[SharingState]]:
        return self._broadcast.subscribe()

    def default_request(self, model: str | None = None) -> ShareRequest:
        return self.request if model is None else changed(self.request, model=model)

    async def attach(self) -> SharingState:
        self.attached += 1
        return self.state

    async def plan(
        self, request: ShareRequest, model: ModelInfo | None = None, *, hub_token: str = ""
    ) -> ServerSpec:
        if self.error is not None:
            raise self.error
        return changed(SPEC, model=request.model, port=request.port)

    async def check(
        self, request: ShareRequest, *, hub_token: str = "", told: object = None
    ) -> ServerSpec:
        return await self.plan(request, hub_token=hub_token)

    async def command_text(
        self, request: ShareRequest | None = None, *, model: ModelInfo | None = None
    ) -> str:
        return f"docker run --rm torbiz --port {(request or self.request).port}"

    async def start(
        self, request: ShareRequest, *, replace: bool = False, hub_token: str = ""
    ) -> None:
        self.tokens.append(hub_token)
        if self.error is not None and not replace:
            raise self.error
        self.started.append(request)
        spec = changed(SPEC, model=request.model, new_swarm=request.new_swarm, port=request.port)
        self.become(SharingState(phase=Phase.STARTING, spec=spec))

    async def stop(self, *, now: bool = False) -> ExitReport | None:
        self.stopped_now = now
        self.stopped += 1
        self.become(SharingState())
        return ExitReport(code=0)

    async def close(self) -> None:
        pass


Script = Callable[[Sequence[Message]], AsyncIterator[ChatEvent]]


class FakeInference:
    """Answers with `events` and `pieces`, or fails with `error` after them.

    `gate` holds it before the end.
    """

    def __init__(self) -> None:
        self.model = "torbiz-demo"
        self.local = False
        self.adapter = ""
        self.now = StageChanged("")
        self.route: Route | None = None
        self.idle_session = False
        self.events: Sequence[ChatEvent] = ()
        self.pieces: Sequence[str | ChatEvent] = ("Petals ", "is ", "a swarm.")
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[list[Message]] = []
        self.options: list[GenerateOptions] = []
        self.conversations: list[str] = []
        self.released: list[str] = []
        self.warmed = 0
        self.warm_error: Exception | None = None
        self.pickled_allowed = False
        self.refusal: TorbizError | None = None
        self._cancelled = asyncio.Event()
        self._broadcast: Broadcast[StageChanged | RouteChanged] = Broadcast()

    def choose(self, model: str, *, local: bool | None = None, adapter: str | None = None) -> None:
        self.model = model
        self.adapter = adapter or ""
        if local is not None:
            self.local = local

    def subscribe(self) -> AbstractContextManager[Subscription[StageChanged | RouteChanged]]:
        return self._broadcast.subscribe()

    @property
    def stage(self) -> str:
        return self.now.stage

    def become(self, stage: str, download: Download | None = None) -> None:
        self.now = StageChanged(stage, download)
        self._broadcast.publish(self.now)

    def lead(self, route: Route) -> None:
        self.route = route
        self._broadcast.publish(RouteChanged(route))

    async def allow_pickled(self) -> None:
        self.pickled_allowed, self.error = True, None

    async def warm(self) -> None:
        self.warmed += 1
        if self.warm_error is not None:
            raise self.warm_error

    async def ask(
        self, messages: Sequence[Message], options: GenerateOptions, *, conversation: str = ""
    ) -> AsyncIterator[ChatEvent]:
        self.asked.append(list(messages))
        self.options.append(options)
        self.conversations.append(conversation)
        self._cancelled.clear()
        for event in self.events:
            yield event
        for piece in self.pieces:
            yield TokenReceived(piece) if isinstance(piece, str) else piece
            await asyncio.sleep(0)
        count = sum(isinstance(piece, str) for piece in self.pieces)
        waiting = [
            asyncio.create_task(self.gate.wait()),
            asyncio.create_task(self._cancelled.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self._cancelled.is_set():
            yield AnswerDone("cancelled", 5, 0, count, 0.5, 9.0, self.route)
            return
        if self.error is not None:
            raise self.error
        yield AnswerDone("stop", 5, 0, count, 0.5, 12.3, self.route)

    def complete(self, prompt: str, options: GenerateOptions) -> AsyncIterator[ChatEvent]:
        return self.ask([Message("user", prompt)], options)

    async def release(self, conversation: str) -> None:
        self.released.append(conversation)

    async def cancel(self, conversation: str = "") -> None:
        self._cancelled.set()

    async def close(self) -> None:
        pass


@dataclass
class FakeHosting:
    name: str = "native"

    async def machine_memory(self) -> int | None:
        return None


@dataclass
class FakeEnvironment:
    name: str = "native"
    hosting: FakeHosting = field(default_factory=FakeHosting)


class FakeMonitor:
    """Sees `snapshot` at every look, or nothing for ever; `asked` are peers, model and prefix."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.asked: list[tuple[tuple[str, ...] | None, str, str]] = []

    def at(
        self, peers: tuple[str, ...] | None, model: str = "", dht_prefix: str = ""
    ) -> FakeMonitor:
        self.asked.append((peers, model, dht_prefix))
        return self

    async def watch(self, model: str, period_s: float = 5.0) -> AsyncGenerator[SwarmEvent, None]:
        yield Looking("connecting")
        if self.snapshot is None:
            await asyncio.Event().wait()
        else:
            yield self.snapshot


BOX = ContainerInfo(
    name="torbiz-petals-seeder",
    id="c1",
    image="torbiz-petals-macos:latest",
    image_id="i1",
    state="running",
    status="Up 3 minutes",
    created_at=0.0,
    owner=Owner.OURS,
)
IMAGE = ImageInfo(
    id="i1",
    tags=("torbiz-petals-macos:latest",),
    size_bytes=1_280_000_000,
    unique_bytes=1_100_000_000,
    created_at=0.0,
    owner=Owner.OURS,
    version="0.1.0",
)
FOREIGN = ImageInfo("i2", ("database:16",), 438_000_000, 438_000_000, 0.0, Owner.OTHER)


class FakeInventory:
    """An engine with our container and image, and a foreign image."""

    def __init__(self) -> None:
        self.config = DockerConfig()
        self.containers: tuple[ContainerInfo, ...] = (BOX,)
        self.images: tuple[ImageInfo, ...] = (IMAGE, FOREIGN)
        self.error: TorbizError | None = None
        self.did: list[str] = []

    async def overview(self) -> Overview:
        if self.error is not None:
            raise self.error
        return Overview(
            facts=EngineFacts(
                "Docker Engine", "28.2.2", "1.50", "linux/amd64", 8, 16 * 10**9, "/var/lib/docker"
            ),
            endpoint=Endpoint("unix:///var/run/docker.sock", "the usual socket"),
            containers=self.containers,
            images=self.images,
            ours_bytes=1_280_000_000,
            total_bytes=1_718_000_000,
            fresh=True,
        )

    async def commands(self) -> list[DockerCommand]:
        return docker_commands(self.config, prune_note="It would remove database:16 too.")

    async def stop_container(self, name: str = "") -> str:
        self.did.append("stop")
        self.containers = ()
        return "torbiz-petals-seeder is stopped (exit code 0)."

    async def unpause(self, name: str = "") -> None:
        self.did.append("unpause")
        self.containers = (BOX,)

    async def remove_image(self, tag: str = "") -> int:
        self.did.append(f"remove {tag}")
        if self.containers:
            raise TorbizError(
                f"The image {tag} is in use.", remedy="Stop and remove them first.", code="in_use"
            )
        self.images = (FOREIGN,)
        return 1_100_000_000

    async def shell_command(self) -> list[str]:
        raise TorbizError("The container torbiz-petals-seeder does not run.", code="not_running")

    async def cleanup_candidates(self) -> list[Candidate]:
        busy = "It is running." if self.containers else ""
        return [
            Candidate(
                "image", IMAGE.name, "i1", 1_100_000_000, "It carries this program's label.", busy
            )
        ]

    async def clean(self, chosen: Sequence[Candidate], tell: Callable[[str], None]) -> Cleaned:
        self.did.append("clean")
        self.images = (FOREIGN,)
        tell(f"Removed the image {IMAGE.name}.")
        return Cleaned(1_100_000_000, (IMAGE.name,), ())


class FakeStorage:
    """Knows the sizes that the test gives it."""

    def __init__(self) -> None:
        self.sizes: dict[str, int | None] = {}

    async def quick(self, limit_s: float) -> dict[str, int | None]:
        return self.sizes


@dataclass
class FakeServices:
    """What the app needs of the services."""

    paths: Paths
    setup: SetupPlan
    config: Config = field(
        default_factory=lambda: Config(
            demo=True, model="torbiz-demo", swarm=SwarmConfig(new_swarm=True)
        )
    )
    environment: FakeEnvironment = field(default_factory=FakeEnvironment)
    sharing: FakeSharing = field(default_factory=FakeSharing)
    inventory: FakeInventory | None = None
    storage: FakeStorage = field(default_factory=FakeStorage)
    inference: FakeInference = field(default_factory=FakeInference)
    swarm_monitor: FakeMonitor = field(default_factory=FakeMonitor)

    can_ask: bool = True

    @property
    def demo(self) -> bool:
        return self.config.demo

    @cached_property
    def asked_swarms(self) -> AskedSwarms:
        return AskedSwarms(self.paths, self.config)

    @cached_property
    def history(self) -> History:
        return History.open(self.paths.history_file)

    def log_sources(self) -> list[LogSource]:
        return log_sources(self.paths)

    def container_log(self) -> None:
        return None

    async def close(self) -> None:
        await self.setup.close()
        if "history" in self.__dict__:
            await self.history.close()

    def typed(self) -> Services:
        return cast("Services", self)


def fake_services(home: Path, *steps: Step) -> FakeServices:
    paths = Paths(home)
    paths.ensure()
    return FakeServices(paths, SetupPlan(steps or [FakeStep()]))
