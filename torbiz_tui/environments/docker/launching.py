"""Starting the container that hosts: the name is free, the image is there, nothing half done stays."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torbiz_tui.catalogue import MAIN
from torbiz_tui.config import Config
from torbiz_tui.environments.base import ServerRecord, ServerSpec
from torbiz_tui.environments.docker.container import LOG_NAME, ContainerPlan
from torbiz_tui.environments.docker.container_plan import plan_container, prepare_folders
from torbiz_tui.environments.docker.ending import remove_container
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.image import PetalsImage
from torbiz_tui.environments.docker.records import ContainerState, record_of, state_of
from torbiz_tui.environments.docker.secrets_files import remove_tokens, token_files, write_tokens
from torbiz_tui.environments.docker.watching import inspect, look_at
from torbiz_tui.environments.ports import require_free_port
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.writing import logger, rotate
from torbiz_tui.paths import Paths

if TYPE_CHECKING:
    from docker import DockerClient

ENVIRONMENT = "docker"
_START_TIMEOUT_S = 60.0


class Launch:
    """Starts one container at a time; the caller holds the lock of the home folder."""

    def __init__(
        self, paths: Paths, config: Config, finder: EngineFinder, image: PetalsImage
    ) -> None:
        self._paths = paths
        self._config = config
        self._finder = finder
        self._image = image

    @property
    def _container(self) -> str:
        return str(self._config.docker.container)

    def plan(self, engine: Engine, spec: ServerSpec, secrets: Mapping[str, str]) -> ContainerPlan:
        """Describe the container. Raises TorbizError as `plan_container`."""
        files = token_files(self._paths, self._container, secrets)
        return plan_container(spec, self._config, engine.facts, self._paths, files)

    async def start(
        self, spec: ServerSpec, secrets: Mapping[str, str], *, replace: bool
    ) -> ServerRecord:
        """Start it; `replace` removes a container of somebody else's that has the name.

        Raises TorbizError, see `EnvironmentDriver.start_server`.
        """
        engine = await self._finder.engine()
        plan = self.plan(engine, spec, secrets)
        left = await self._left(engine, replace=replace)
        await self._require_image(engine)
        if left is not None:
            await self._remove_left(engine, left)
        # After that: what is removed may have had the port.
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

    async def _left(self, engine: Engine, *, replace: bool) -> ContainerState | None:
        """The container that has the name and may go: it has ended, or the person said so."""
        from docker import errors

        try:
            data = await inspect(engine, self._container)
        except errors.NotFound:
            return None
        state = state_of(data)
        if state.owner is Owner.OTHER:
            if not replace:
                raise _name_taken(state)
        elif state.running:
            record = record_of(data, ENVIRONMENT)
            raise TorbizError(
                f"This machine is already sharing {record.spec.model}.",
                why=f"The container {state.name} has been at it since "
                f"{time.strftime('%H:%M', time.localtime(record.started_at))}.",
                remedy="Stop it first (Share screen, or `torbiz-tui stop`).",
                code="already_sharing",
            )
        return state

    async def _remove_left(self, engine: Engine, left: ContainerState) -> None:
        if left.owner is Owner.OTHER:
            await remove_container(engine, left.id, force=True)
            return
        from torbiz_tui.environments.docker.container_log import copy_rest

        await copy_rest(self._finder, self._paths, left.id, left.name)
        await remove_container(engine, left.id)

    async def _require_image(self, engine: Engine) -> None:
        state = await self._image.state(engine)
        if state is not None and state.ours and self._image.channel == MAIN != state.channel:
            raise TorbizError(
                "The Docker image holds Petals' release, and petals.channel is main.",
                why=f"{state.tag} was built before that was set.",
                remedy="Run Setup again (F1, or `torbiz-tui setup`): it rebuilds the image. Or set"
                " petals.channel to release.",
                code="image_outdated",
            )
        if state is None:
            raise TorbizError(
                "Docker image not found.",
                why=f"There is no image {self._image.tag} on {engine.facts.sentence()}.",
                remedy="Run Setup again (F1, or `torbiz-tui setup`): it builds the image.",
                code="image_missing",
            )

    async def _run(self, engine: Engine, plan: ContainerPlan) -> ServerRecord:
        from docker import errors

        created = ""

        def create(client: DockerClient) -> str:
            # `containers.create` knows no time to stop.
            api: Any = client.api
            host = api.create_host_config(**plan.host_arguments())
            created = api.create_container(**plan.create_arguments(), host_config=host)
            return str(created["Id"])

        try:
            try:
                created = await engine.call(
                    create, doing="creating the container", timeout_s=_START_TIMEOUT_S
                )
                await engine.call(
                    lambda client: client.api.start(created),
                    doing="starting the container",
                    timeout_s=_START_TIMEOUT_S,
                )
                return record_of(await inspect(engine, created), ENVIRONMENT)
            except errors.ImageNotFound:
                await self._require_image(engine)
                raise
            except errors.APIError as error:
                raise await self._refused(engine, error) from error
        except BaseException:
            # Also when it was cut off: what nobody knows of must not go on.
            await asyncio.shield(self._remove_created(engine, created))
            raise

    async def _refused(self, engine: Engine, error: Any) -> TorbizError:
        from docker import errors

        from torbiz_tui.environments.docker.problems import refusal

        if error.status_code == 409 and "name" in str(error.explanation):
            with contextlib.suppress(errors.APIError):
                return _name_taken(await look_at(engine, self._container))
        return refusal(str(error.explanation or error), doing="starting the container")

    async def _remove_created(self, engine: Engine, created: str) -> None:
        from docker import errors

        with contextlib.suppress(errors.APIError, TorbizError):
            # Without an id nobody knows whether the engine has made it; a living one is not it.
            state = await look_at(engine, created or self._container)
            if created or (state.owner is Owner.OURS and state.never_ran):
                await remove_container(engine, state.id, force=True)


def _name_taken(state: ContainerState) -> TorbizError:
    made = ""
    if state.created_at is not None:
        made = time.strftime(", created %Y-%m-%d %H:%M", time.localtime(state.created_at))
    return TorbizError(
        f"The container name {state.name} is taken by something that is not a Torbiz server.",
        why=f"Image {state.image}, state {state.status}{made}.",
        remedy="Remove that container (`torbiz-tui share --replace` does), or choose another name"
        " (docker.container).",
        code="container_name_taken",
    )
