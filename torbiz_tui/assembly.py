"""Putting the services together; the one place that knows which environment a platform uses."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from torbiz_tui.config import Config
from torbiz_tui.environments.base import Environment
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.environments.petals_stack import PetalsStack
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths
from torbiz_tui.setup.plan import SetupPlan
from torbiz_tui.setup.step import Step
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase

if TYPE_CHECKING:
    from torbiz_tui.catalogue import ModelInfo
    from torbiz_tui.environments.chat_records import ChatRunnerRecord
    from torbiz_tui.environments.docker.container_log import ContainerLog
    from torbiz_tui.environments.docker.driver import DockerDriver
    from torbiz_tui.environments.docker.engine import EngineFinder
    from torbiz_tui.environments.docker.image import PetalsImage
    from torbiz_tui.environments.docker.inventory import DockerInventory
    from torbiz_tui.inference.history import History
    from torbiz_tui.inference.runner_command import SwarmPeers
    from torbiz_tui.inference.service import FindPeers, InferenceService
    from torbiz_tui.logs.sources import LogSource
    from torbiz_tui.private_swarms.remembering import AskedSwarms
    from torbiz_tui.storage import Storage
    from torbiz_tui.swarm_map.monitor import SwarmMonitor


@dataclass
class Services:
    """All that the app and the command line stand on; belongs to one event loop."""

    paths: Paths
    config: Config
    environment: Environment
    setup: SetupPlan
    sharing: SharingService

    @cached_property
    def inference(self) -> InferenceService:
        """The chat service; loaded when the first question is near, not at the start."""
        from torbiz_tui.inference.service import InferenceService

        return InferenceService(
            self.environment.inference,
            self.paths,
            self.config,
            _peer_finder(self.config, self.sharing, self.paths),
            self._served_revision,
        )

    async def _served_revision(self, model: str) -> str:
        """The revision that this machine serves of a model of the hub; empty where it does not."""
        from torbiz_tui.sharing.petals_options import value_of

        if "/" not in model or model.startswith(("/", "~", ".")):
            # A folder, or the demo: these have no revisions, and no engine needs to be asked.
            return ""
        state = self.sharing.state
        spec = state.spec if state.active else None
        if spec is None:
            # A single question follows no server: what is written of it is enough.
            try:
                record = await self.environment.hosting.find_server()
            except TorbizError:
                # Nobody can tell (no engine answers).
                record = None
            spec = record.spec if record is not None else None
        if spec is None or spec.source != model:
            return ""
        return str(value_of(spec.petals_options, "revision") or "")

    @cached_property
    def swarm_monitor(self) -> SwarmMonitor:
        """What tells block by block who serves a model."""
        from torbiz_tui.swarm_map.monitor import SwarmMonitor

        return SwarmMonitor(
            self.environment.inference,
            self.paths,
            self.config,
            _peer_finder(self.config, self.sharing, self.paths),
        )

    @cached_property
    def asked_swarms(self) -> AskedSwarms:
        """What remembers the private swarms that answer."""
        from torbiz_tui.private_swarms.remembering import AskedSwarms

        return AskedSwarms(self.paths, self.config)

    @cached_property
    def history(self) -> History:
        """The conversations; its file is opened when it is first used."""
        from torbiz_tui.inference.history import History

        return History.open(self.paths.history_file)

    def chat_runners(self) -> list[ChatRunnerRecord]:
        """The chat runners that are warm now, whoever has started them."""
        from torbiz_tui.environments.chat_records import ChatRecords

        return ChatRecords(self.paths).living()

    @property
    def can_ask(self) -> bool:
        """Whether what asking needs is installed, as far as a look at a small file tells."""
        return PetalsStack(self.paths, self.config.petals).stamp() is not None

    @cached_property
    def inventory(self) -> DockerInventory | None:
        """What the container engine holds; None where hosting does not use one."""
        return self._inventory if self.environment.hosting.name == "docker" else None

    @cached_property
    def storage(self) -> Storage:
        """The disk that all parts use, also an image that another environment has left."""
        from torbiz_tui.storage import Storage

        return Storage(
            self.paths, self.config, self._inventory, asks_engine=self.inventory is not None
        )

    @cached_property
    def _inventory(self) -> DockerInventory:
        from torbiz_tui.environments.docker.engine import EngineFinder
        from torbiz_tui.environments.docker.image import PetalsImage
        from torbiz_tui.environments.docker.inventory import DockerInventory

        return DockerInventory(
            self.engines or EngineFinder(self.config.docker),
            self.config.docker,
            self.image or PetalsImage(self.paths, self.config),
            paths=self.paths,
            stop_grace_s=self.config.share.stop_grace_s,
        )

    @property
    def engines(self) -> EngineFinder | None:
        """What finds the container engine; None where hosting does not use one."""
        return self._docker.finder if self._docker is not None else None

    @property
    def image(self) -> PetalsImage | None:
        """The image that hosts; None where hosting does not use one."""
        return self._docker.image if self._docker is not None else None

    @property
    def _docker(self) -> DockerDriver | None:
        hosting = self.environment.hosting
        return cast("DockerDriver", hosting) if hosting.name == "docker" else None

    @property
    def demo(self) -> bool:
        """Whether the embedded demo is used."""
        return self.config.demo

    def log_sources(self) -> list[LogSource]:
        """The logs that can be looked at."""
        from torbiz_tui.logs.sources import log_sources

        return log_sources(self.paths, container=self._docker is not None)

    def container_log(self) -> ContainerLog | None:
        """What keeps container.log; None where hosting does not use a container."""
        if self._docker is None:
            return None
        from torbiz_tui.environments.docker.container_log import ContainerLog

        return ContainerLog(self._docker.finder, self.paths, self.config.docker.container)

    async def close(self) -> None:
        """Stop what belongs to this program: setup, asking, watching.

        A hosted server goes on, and so does for a while the chat runner.
        """
        await self.setup.close()
        if "inference" in self.__dict__:
            await self.inference.close()
        if "history" in self.__dict__:
            # After the answers: it stores how they ended.
            await self.history.close()
        await self.sharing.close()
        if "_inventory" in self.__dict__:
            self._inventory.close()
        if self.engines is not None:
            self.engines.close()


def build_services(config: Config, paths: Paths) -> Services:
    """Build the services for a configuration; starts nothing.

    Raises UsageError for an environment that this version does not have.
    """
    environment = _environment(config, paths)
    sharing = SharingService(environment.hosting, paths, config)
    return Services(
        paths=paths,
        config=config,
        environment=environment,
        setup=SetupPlan(_steps(environment)),
        sharing=sharing,
    )


def looks_ready(config: Config, paths: Paths) -> bool:
    """Whether Setup has finished, as far as a look at small files tells."""
    ready = PetalsStack(paths, config.petals).looks_ready()
    if hosts_in_docker(config):
        ready = ready and (paths.run / "image-verified.json").is_file()
    return ready


def hosts_in_docker(config: Config) -> bool:
    """Whether this configuration hosts in a container on this platform."""
    return config.environment == "docker" or (
        config.environment == "auto" and sys.platform == "darwin"
    )


def _environment(config: Config, paths: Paths) -> Environment:
    if config.environment not in ("auto", "docker", "native"):
        raise UsageError(
            f"The environment {config.environment!r} is not part of this version.",
            remedy="Use docker or native (or auto).",
            code="environment_unknown",
        )
    if sys.platform == "win32":
        raise UsageError(
            "Windows runs torbiz-tui inside WSL.",
            remedy="Open a WSL shell and start it there.",
            code="environment_unknown",
        )
    native = NativeDriver(paths, config)
    if not hosts_in_docker(config):
        return Environment(hosting=native, inference=native)
    from torbiz_tui.environments.docker.driver import DockerDriver
    from torbiz_tui.environments.docker.engine import EngineFinder
    from torbiz_tui.environments.docker.image import PetalsImage

    docker = DockerDriver(paths, config, EngineFinder(config.docker), PetalsImage(paths, config))
    return Environment(hosting=docker, inference=native)


def _steps(environment: Environment) -> list[Step]:
    steps = list(environment.hosting.setup_steps())
    if environment.inference is not environment.hosting:
        known = {step.id for step in steps}
        steps += [step for step in environment.inference.setup_steps() if step.id not in known]
    return steps


def _peer_finder(config: Config, sharing: SharingService, paths: Paths) -> FindPeers:
    from torbiz_tui.inference.runner_messages import not_served
    from torbiz_tui.sharing.own_swarm import OthersOfSwarm, not_serving_yet

    others_of_swarm = OthersOfSwarm(paths)

    async def find(model: ModelInfo) -> SwarmPeers:
        """The configured peers, else those of the swarm that this machine hosts in."""
        if config.swarm.initial_peers:
            return tuple(config.swarm.initial_peers)
        state = await sharing.attach()
        spec = state.spec
        if spec is not None and _same_model(model, spec.source):
            private = spec.new_swarm or spec.initial_peers
            serves = state.phase is Phase.SERVING and not state.paused
            if private and serves and state.addresses:
                return _dialable(state.addresses) or tuple(spec.initial_peers)
            if private and (others := await others_of_swarm.answering(state)):
                return others
            if private and state.active:
                raise not_serving_yet(model.name, state)
        if config.demo or config.swarm.new_swarm:
            everything = ((0, model.num_blocks),)
            why = "The swarm is a private one, and no server runs in it."
            raise not_served(model.name, why, everything, model.num_blocks)
        return None

    return find


def _same_model(model: ModelInfo, source: str) -> bool:
    return model.source == source or Path(model.source) == Path(source)


def _dialable(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses that this machine reaches at once: loopback first, else all."""
    loopback = tuple(address for address in addresses if address.startswith("/ip4/127."))
    return loopback or addresses
