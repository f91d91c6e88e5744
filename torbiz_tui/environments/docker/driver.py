"""The Docker driver: the server as a container with the guide's name, mounts and network."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence

from torbiz_tui.config import Config
from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ExitReport,
    ResourceSample,
    RunnerCommand,
    RunnerProcess,
    ServerCondition,
    ServerRecord,
    ServerSpec,
)
from torbiz_tui.environments.docker.ending import exit_report, remove_container, stop_container
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.image import PetalsImage
from torbiz_tui.environments.docker.launching import ENVIRONMENT, Launch
from torbiz_tui.environments.docker.records import record_of, state_of
from torbiz_tui.environments.docker.secrets_files import has_tokens, remove_tokens
from torbiz_tui.environments.docker.watching import Sight, inspect, look_at, sights
from torbiz_tui.environments.share_lock import share_lock
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Step

_RETRY_S = 1.0
_RESTART_S = 0.5


class DockerDriver(EnvironmentDriver):
    """Hosts in a container; asking goes on in another environment.

    `finder` and `image` are there for others to use the same connections.
    """

    name = ENVIRONMENT

    def __init__(
        self, paths: Paths, config: Config, finder: EngineFinder, image: PetalsImage
    ) -> None:
        self._paths = paths
        self._config = config
        self.finder = finder
        self.image = image
        self._launch = Launch(paths, config, finder, image)
        self._stopping: set[str] = set()
        self._lost: set[str] = set()

    @property
    def _container(self) -> str:
        return str(self._config.docker.container)

    def setup_steps(self) -> Sequence[Step]:
        from torbiz_tui.environments.docker.connection_steps import connection_steps
        from torbiz_tui.environments.docker.image_steps import ContainerVerifyStep, ImageStep

        return [
            *connection_steps(self.finder),
            ImageStep(self.image, self.finder),
            ContainerVerifyStep(self._paths, self._config, self.image, self.finder),
        ]

    async def machine_memory(self) -> int | None:
        try:
            engine = await self.finder.engine()
        except TorbizError:
            return None
        return engine.facts.memory_bytes or None

    # Starting

    async def command_text(self, spec: ServerSpec) -> str:
        engine = await self.finder.engine()
        return self._launch.plan(engine, spec, os.environ).command_text(engine.endpoint)

    async def start_server(
        self, spec: ServerSpec, secrets: Mapping[str, str], *, replace: bool = False
    ) -> ServerRecord:
        with share_lock(self._paths):
            return await self._launch.start(spec, secrets, replace=replace)

    # Watching

    async def find_server(self) -> ServerRecord | None:
        from docker import errors

        engine = await self.finder.engine()
        try:
            data = await inspect(engine, self._container)
        except errors.NotFound:
            await self._remove_left_tokens(engine)
            return None
        state = state_of(data)
        if state.owner is Owner.OTHER or state.never_ran:
            return None
        return record_of(data, self.name, self._config.share)

    async def _remove_left_tokens(self, engine: Engine) -> None:
        """Remove the tokens of a container that somebody else has removed."""
        from docker import errors
        from filelock import FileLock

        if not has_tokens(self._paths, self._container):
            return
        lock = FileLock(self._paths.run / "share.lock")
        try:
            lock.acquire(timeout=0)
        except OSError:
            # Somebody is just starting a container with them (or nothing can be written here).
            return
        try:
            await inspect(engine, self._container)
        except errors.NotFound:
            remove_tokens(self._paths, self._container)
        finally:
            lock.release()

    async def is_running(self, record: ServerRecord) -> bool:
        """Whether it lives, also frozen. Raises TorbizError when the engine does not answer."""
        from docker import errors

        try:
            return (await look_at(await self.finder.engine(), record.id)).running
        except errors.NotFound:
            return False

    async def conditions(self, record: ServerRecord) -> AsyncIterator[ServerCondition]:
        running = True
        while running:
            async with contextlib.aclosing(sights(self.finder, record.id, self._lost)) as seen:
                async for sight in seen:
                    if sight.state is None:
                        yield ServerCondition(lost=sight.lost)
                    elif sight.state.running:
                        yield ServerCondition(paused=sight.state.paused)
            # Somebody may have restarted it.
            await asyncio.sleep(_RESTART_S)
            with contextlib.suppress(TorbizError):
                running = await self.is_running(record)

    def server_lines(self, record: ServerRecord) -> AsyncIterator[list[str]]:
        from torbiz_tui.environments.docker.container_log import spooled_lines

        return spooled_lines(self.finder, self._paths, record.id, record.container)

    async def samples(self, record: ServerRecord) -> AsyncIterator[ResourceSample]:
        from docker import errors

        from torbiz_tui.environments.docker.stats import container_stats

        while True:
            try:
                engine = await self.finder.engine()
                async with contextlib.aclosing(container_stats(engine, record.id)) as items:
                    async for sample in items:
                        yield sample
                if not await self.is_running(record):
                    return
            except errors.NotFound:
                return
            except (TorbizError, errors.APIError) as error:
                logger("sharing").debug("no resource samples: %s", error)
            await asyncio.sleep(_RETRY_S)

    # The end

    async def wait_server(self, record: ServerRecord) -> ExitReport:
        """Wait for the end; a container that was asked to stop is gone afterwards."""
        last = Sight()
        async with contextlib.aclosing(sights(self.finder, record.id, self._lost)) as seen:
            async for sight in seen:
                last = sight
        assert last.state is not None
        engine = await self.finder.engine()
        report = await exit_report(engine, last.state, host_stopped=record.id in self._lost)
        if report.asked and record.id not in self._stopping:
            # Between the two halves of a `docker restart` it must not be removed.
            await asyncio.sleep(_RESTART_S)
            with contextlib.suppress(TorbizError):
                if not await self.is_running(record):
                    # The guide's container leaves nothing behind; a failure is kept for who looks
                    # later.
                    await self.forget_server(record)
        return report

    async def drain_server(self, record: ServerRecord) -> bool:
        from docker import errors

        engine = await self.finder.engine()
        try:
            await engine.call(
                lambda client: client.api.kill(record.id, signal="SIGUSR1"),
                doing="asking the server to finish",
            )
        except errors.APIError as error:
            # It is gone, or about to be.
            logger("sharing").info("asking the server to finish: %s", error.explanation)
            return False
        return True

    async def stop_server(self, record: ServerRecord, grace_s: float) -> ExitReport:
        engine = await self.finder.engine()
        self._stopping.add(record.id)
        try:
            return await stop_container(engine, record, grace_s)
        finally:
            self._stopping.discard(record.id)

    async def forget_server(self, record: ServerRecord) -> None:
        """Remove the container that has ended, and its tokens."""
        from torbiz_tui.environments.docker.container_log import copy_rest

        engine = await self.finder.engine()
        await copy_rest(self.finder, self._paths, record.id, record.container)
        await remove_container(engine, record.id)
        remove_tokens(self._paths, self._container)

    async def spawn(self, command: RunnerCommand) -> RunnerProcess:
        raise TorbizError(
            f"{command.script} does not run in a container.",
            why="The container only hosts; asking uses Petals on this machine.",
            code="docker_hosts_only",
        )

    async def chat_runner(self, command: RunnerCommand, key: str) -> RunnerProcess:  # noqa: ARG002
        return await self.spawn(command)
