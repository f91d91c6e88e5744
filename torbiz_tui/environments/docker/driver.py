"""The Docker driver: the server as a container with the guide's name, mounts and network."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from torbiz_tui.environments.docker.container import (
    LOG_NAME,
    ContainerPlan,
    plan_container,
    prepare_folders,
)
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.image import PetalsImage
from torbiz_tui.environments.docker.records import ContainerState, record_of, state_of
from torbiz_tui.environments.docker.secrets_files import remove_tokens, token_files, write_tokens
from torbiz_tui.environments.docker.watching import (
    Sight,
    exit_code,
    inspect,
    look_at,
    sights,
)
from torbiz_tui.environments.native import require_free_port
from torbiz_tui.environments.processes import LAST_LINES, signal_name
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger, rotate
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Step

if TYPE_CHECKING:
    from docker import DockerClient

SECRET_VARIABLES = ("TORBIZ_NODE_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_RETRY_S = 1.0
_STOP_MARGIN_S = 20.0
_REMOVE_TIMEOUT_S = 60.0
_SIGNALLED = 128
_KILLED = 137


class DockerDriver(EnvironmentDriver):
    """Hosts in a container; asking goes on in another environment.

    `finder` and `image` are there for others to use the same connections.
    """

    name = "docker"

    def __init__(
        self, paths: Paths, config: Config, finder: EngineFinder, image: PetalsImage
    ) -> None:
        self._paths = paths
        self._config = config
        self.finder = finder
        self.image = image
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

    # Starting

    async def command_text(self, spec: ServerSpec) -> str:
        engine = await self.finder.engine()
        secrets = {name: os.environ[name] for name in SECRET_VARIABLES if name in os.environ}
        plan = self._plan(engine, spec, secrets)
        return plan.command_text(engine.endpoint)

    def _plan(self, engine: Engine, spec: ServerSpec, secrets: Mapping[str, str]) -> ContainerPlan:
        files = token_files(self._paths, self._container, secrets)
        return plan_container(spec, self._config, engine.facts, self._paths, files)

    async def start_server(
        self, spec: ServerSpec, secrets: Mapping[str, str], *, replace: bool = False
    ) -> ServerRecord:
        from filelock import FileLock, Timeout

        lock = FileLock(self._paths.run / "share.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise TorbizError(
                "Another torbiz-tui is just starting to share.",
                remedy="Wait a moment, then look at its state on the Share screen.",
                code="already_sharing",
            ) from None
        try:
            return await self._start_locked(spec, secrets, replace=replace)
        finally:
            lock.release()

    async def _start_locked(
        self, spec: ServerSpec, secrets: Mapping[str, str], *, replace: bool
    ) -> ServerRecord:
        engine = await self.finder.engine()
        plan = self._plan(engine, spec, secrets)
        await self._clear_name(engine, replace=replace)
        await self._require_image(engine)
        require_free_port(spec.port)
        prepare_folders(self._paths, self._config)
        rotate(self._paths.logs / LOG_NAME)
        write_tokens(self._paths, self._container, secrets)
        try:
            record = await self._run(engine, plan)
        except BaseException:
            remove_tokens(self._paths, self._container)
            raise
        logger("sharing").info(
            "started container %s: %s", record.id[:12], redact(plan.command_text(engine.endpoint))
        )
        return record

    async def _clear_name(self, engine: Engine, *, replace: bool) -> None:
        """See that nobody has the name; what has ended and is ours goes."""
        from docker import errors

        try:
            data = await inspect(engine, self._container)
        except errors.NotFound:
            return
        state = state_of(data)
        if state.owner is Owner.OTHER:
            if not replace:
                raise _name_taken(state)
        elif state.running:
            record = record_of(data, self.name)
            raise TorbizError(
                f"This machine is already sharing {record.spec.model}.",
                why=f"The container {state.name} has been at it since "
                f"{time.strftime('%H:%M', time.localtime(record.started_at))}.",
                remedy="Stop it first (Share screen, or `torbiz-tui stop`).",
                code="already_sharing",
            )
        if state.owner is Owner.OTHER:
            await _remove(engine, state.id, force=True)
        else:
            await self._remove_ended(engine, state.id, state.name)

    async def _remove_ended(self, engine: Engine, container_id: str, name: str) -> None:
        from torbiz_tui.environments.docker.container_log import copy_rest

        await copy_rest(self.finder, self._paths, container_id, name)
        await _remove(engine, container_id)

    async def _require_image(self, engine: Engine) -> None:
        if await self.image.state(engine) is None:
            raise TorbizError(
                "Docker image not found.",
                why=f"There is no image {self.image.tag} on {engine.facts.sentence()}.",
                remedy="Run Setup again (F1, or `torbiz-tui setup`): it builds the image.",
                code="image_missing",
            )

    async def _run(self, engine: Engine, plan: ContainerPlan) -> ServerRecord:
        from docker import errors

        arguments = plan.create_arguments()

        def create(client: DockerClient) -> str:
            return str(client.containers.create(**arguments).id)

        try:
            try:
                created = await engine.call(create, doing="creating the container", timeout_s=60.0)
                await engine.call(
                    lambda client: client.api.start(created),
                    doing="starting the container",
                    timeout_s=60.0,
                )
                return record_of(await inspect(engine, created), self.name)
            except errors.ImageNotFound:
                await self._require_image(engine)
                raise
            except errors.APIError as error:
                raise await self._refused(engine, error) from error
        except BaseException:
            # Also when it was cut off: what nobody knows of must not go on.
            await asyncio.shield(self._remove_created(engine))
            raise

    async def _refused(self, engine: Engine, error: Any) -> TorbizError:
        from docker import errors

        from torbiz_tui.environments.docker.problems import refusal

        if error.status_code == 409 and "name" in str(error.explanation):
            with contextlib.suppress(errors.APIError):
                return _name_taken(await look_at(engine, self._container))
        return refusal(str(error.explanation or error), doing="starting the container")

    async def _remove_created(self, engine: Engine) -> None:
        from docker import errors

        with contextlib.suppress(errors.APIError, TorbizError):
            state = await look_at(engine, self._container)
            if state.owner is Owner.OURS and (state.never_ran or state.running):
                await _remove(engine, state.id, force=True)

    # Watching

    async def find_server(self) -> ServerRecord | None:
        from docker import errors

        engine = await self.finder.engine()
        try:
            data = await inspect(engine, self._container)
        except errors.NotFound:
            return None
        state = state_of(data)
        if state.owner is Owner.OTHER or state.never_ran:
            return None
        return record_of(data, self.name)

    async def is_running(self, record: ServerRecord) -> bool:
        """Whether it lives, also frozen. Raises TorbizError when the engine does not answer."""
        from docker import errors

        try:
            return (await look_at(await self.finder.engine(), record.id)).running
        except errors.NotFound:
            return False

    async def conditions(self, record: ServerRecord) -> AsyncIterator[ServerCondition]:
        async with contextlib.aclosing(sights(self.finder, record.id, self._lost)) as seen:
            async for sight in seen:
                if sight.state is None:
                    yield ServerCondition(lost=sight.lost)
                elif sight.state.running:
                    yield ServerCondition(paused=sight.state.paused)

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
        report = await self._report(engine, last.state, host_stopped=record.id in self._lost)
        if report.asked and record.id not in self._stopping:
            # The guide's container leaves nothing behind; a failure is kept for who looks later.
            with contextlib.suppress(TorbizError):
                await self.forget_server(record)
        return report

    async def _report(
        self, engine: Engine, state: ContainerState, *, host_stopped: bool = False
    ) -> ExitReport:
        code = state.exit_code
        out_of_memory = state.out_of_memory and code != 0
        return ExitReport(
            code=code if code is None or code < _SIGNALLED else None,
            signal=signal_name(code - _SIGNALLED)
            if code is not None and code > _SIGNALLED
            else None,
            asked=code == 0 and not host_stopped,
            out_of_memory=out_of_memory,
            memory_limit=state.memory_limit if out_of_memory else None,
            ended_at=state.finished_at,
            last_lines=await _last_lines(engine, state.id),
            host_stopped=host_stopped and not out_of_memory,
            error=redact(state.error),
        )

    async def stop_server(self, record: ServerRecord, grace_s: float) -> ExitReport:
        from docker import errors

        engine = await self.finder.engine()
        self._stopping.add(record.id)
        ending: asyncio.Task[int | None] | None = None
        try:
            state = await look_at(engine, record.id)
            if not state.running:
                return await self._report(engine, state)
            # The answer comes also when somebody removes the container meanwhile.
            ending = asyncio.create_task(exit_code(engine, record.id), name="await end")
            if state.paused:
                await engine.call(
                    lambda client: client.api.unpause(record.id), doing="unpausing the container"
                )
            await engine.call(
                lambda client: client.api.stop(record.id, timeout=math.ceil(grace_s)),
                doing="stopping the container",
                timeout_s=grace_s + _STOP_MARGIN_S,
            )
            state = await look_at(engine, record.id)
            code = state.exit_code
        except errors.APIError as error:
            # 404 and 409: it is gone, or somebody is removing it.
            logger("sharing").info("stopping the container: %s", error.explanation)
            if ending is not None:
                await asyncio.wait([ending], timeout=_RETRY_S)
            code = ending.result() if ending is not None and ending.done() else None
            state = ContainerState(record.id, record.container, "removed", exit_code=code)
        finally:
            self._stopping.discard(record.id)
            if ending is not None:
                ending.cancel()
        from dataclasses import replace

        report = await self._report(engine, state)
        return replace(report, asked=True, killed=code == _KILLED and not report.out_of_memory)

    async def forget_server(self, record: ServerRecord) -> None:
        """Remove the container that has ended, and its tokens."""
        from torbiz_tui.environments.docker.container_log import copy_rest

        engine = await self.finder.engine()
        await copy_rest(self.finder, self._paths, record.id, record.container)
        await _remove(engine, record.id)
        remove_tokens(self._paths, self._container)

    async def spawn(self, command: RunnerCommand) -> RunnerProcess:
        raise TorbizError(
            f"{command.script} does not run in a container.",
            why="The container only hosts; asking uses Petals on this machine.",
            code="docker_hosts_only",
        )


def _name_taken(state: ContainerState) -> TorbizError:
    facts = [f"image {state.image}", f"state {state.status}"]
    if state.created_at is not None:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.created_at))
        facts.append(f"created {made}")
    return TorbizError(
        f"The container name {state.name} is taken by something that is not a Torbiz server.",
        why=", ".join(facts).capitalize() + ".",
        remedy="Remove that container (`torbiz-tui share --replace` does), or choose another name"
        " (docker.container).",
        code="container_name_taken",
        details=tuple(facts),
    )


async def _remove(engine: Engine, container_id: str, *, force: bool = False) -> None:
    """Remove a container; one that is gone, or on its way, is no error."""
    from docker import errors

    def remove(client: DockerClient) -> None:
        client.api.remove_container(container_id, v=True, force=force)

    try:
        await engine.call(remove, doing="removing the container", timeout_s=_REMOVE_TIMEOUT_S)
    except errors.NotFound:
        return
    except errors.APIError as error:
        logger("sharing").info("removing the container: %s", error.explanation)
    # "Removal already in progress": the name is free when that is done.
    deadline = time.monotonic() + _STOP_MARGIN_S
    while time.monotonic() < deadline:
        try:
            if (await look_at(engine, container_id)).running:
                return
        except errors.NotFound:
            return
        await asyncio.sleep(0.1)


async def _last_lines(engine: Engine, container_id: str) -> tuple[str, ...]:
    from docker import errors

    def read(client: DockerClient) -> bytes:
        return bytes(client.api.logs(container_id, tail=LAST_LINES, stream=False))

    try:
        text = (await engine.call(read, doing="reading the last lines")).decode("utf-8", "replace")
    except (TorbizError, errors.APIError):
        return ()
    lines = [redact(sanitize_line(line)) for line in text.splitlines() if line.strip()]
    return tuple(lines[-LAST_LINES:])
