"""What the engine holds, which of it is ours, and the single things a person may do with it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from torbiz_tui.config import DockerConfig, ShareConfig
from torbiz_tui.environments.docker.cleanup import (
    Candidate,
    Cleaned,
    candidates,
    remove_candidates,
)
from torbiz_tui.environments.docker.docker_commands import (
    DockerCommand,
    client_argv,
    docker_commands,
)
from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.environments.docker.engine import Engine, EngineFacts, EngineFinder
from torbiz_tui.environments.docker.holdings import (
    ContainerInfo,
    Holdings,
    ImageInfo,
    Owner,
    read_holdings,
)
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths

if TYPE_CHECKING:
    from docker import DockerClient

    from torbiz_tui.environments.docker.image import PetalsImage

T = TypeVar("T")

_SIZES_TIMEOUT_S = 60.0
_RETRY_S = 0.3


@dataclass(frozen=True)
class Overview:
    """The engine, all its containers and images, and the disk that they use.

    `ours_bytes` is what removing everything of ours would free (shared layers not counted),
    `total_bytes` all layers, containers' own files, volumes and the build cache; None when the
    engine did not tell in time. `fresh` says whether the image under our tag is made of what would
    be built from now; None when there is no such image or nobody asked.
    """

    facts: EngineFacts
    endpoint: Endpoint
    containers: tuple[ContainerInfo, ...]
    images: tuple[ImageInfo, ...]
    ours_bytes: int | None
    total_bytes: int | None
    fresh: bool | None = None

    @property
    def engine_text(self) -> str:
        """The engine in words: `Docker Engine 28.2.2 at unix:///… (DOCKER_HOST)`."""
        return (
            f"{self.facts.name} {self.facts.version} at {self.endpoint.address}"
            f" ({self.endpoint.source})"
        )

    @property
    def prune_text(self) -> str:
        """What `docker system prune -a` would take away now, ours or not."""
        stopped = [box for box in self.containers if not box.running]
        keeping = {box.image_id for box in self.containers if box.running}
        images = [image for image in self.images if image.id not in keeping]
        foreign = [image for image in images if image.owner is Owner.OTHER]
        sizes = [image.unique_bytes for image in foreign if image.unique_bytes is not None]
        size = f", at least {sum(sizes) / 1e9:.1f} GB" if sizes else ""
        others = [box for box in stopped if box.owner is Owner.OTHER]
        return (
            f"It would remove {_count(len(images), 'image')} now ({len(foreign)} not of this"
            f" program{size}), {_count(len(stopped), 'stopped container')} ({len(others)} not of"
            " this program), unused networks and the whole build cache. This app does not run it;"
            " its own clean-up takes only what is its own."
        )


class DockerInventory:
    """The service behind the Docker panel; every method asks the engine anew.

    All of them raise what `EngineFinder.find` and `Engine.call` raise when no engine answers.
    """

    def __init__(
        self,
        finder: EngineFinder,
        config: DockerConfig,
        image: PetalsImage | None = None,
        *,
        paths: Paths | None = None,
        stop_grace_s: float = ShareConfig.stop_grace_s,
    ) -> None:
        """`paths` tells where the log of a container is kept when it is removed; None: nowhere."""
        self._finder = finder
        self._grace_s = math.ceil(stop_grace_s)
        self.config = config
        self._image = image
        self._paths = paths

    async def overview(self) -> Overview:
        """All that the engine holds; sizes are left out when the engine is slow to count them."""
        engine = await self._finder.engine()
        holdings = await self.holdings(engine)
        state = await self._image.state(engine) if self._image is not None else None
        return Overview(
            facts=engine.facts,
            endpoint=engine.endpoint,
            containers=holdings.containers,
            images=holdings.images,
            ours_bytes=holdings.ours_bytes,
            total_bytes=holdings.total_bytes,
            fresh=state.fresh if state is not None else None,
        )

    async def holdings(self, engine: Engine | None = None) -> Holdings:
        """Containers and images with their sizes."""
        engine = engine or await self._finder.engine()
        usage = await self._disk_usage(engine)
        return await engine.call(
            lambda client: read_holdings(client, self.config, usage),
            doing="listing containers and images",
            timeout_s=_SIZES_TIMEOUT_S,
        )

    async def image_bytes(self) -> int:
        """What removing all our images would free, without the engine's own slow count."""
        engine = await self._finder.engine()
        holdings = await engine.call(
            lambda client: read_holdings(client, self.config, None),
            doing="listing containers and images",
        )
        return sum(holdings.freed.values())

    async def _disk_usage(self, engine: Engine) -> Mapping[str, Any] | None:
        """What `docker system df` counts; None when that takes too long or is refused.

        An engine counts for one client at a time and turns others away meanwhile.
        """
        deadline = time.monotonic() + _SIZES_TIMEOUT_S
        while True:
            try:
                found: Mapping[str, Any] = await engine.call(
                    lambda client: client.api.df(),
                    doing="counting disk use",
                    timeout_s=max(1.0, deadline - time.monotonic()),
                )
            except TorbizError as error:
                if error.code == "docker_gone":
                    raise
                if "already running" not in str(error) or time.monotonic() > deadline:
                    return None
                await asyncio.sleep(_RETRY_S)
            else:
                return found

    async def stop_container(self, name: str = "") -> str:
        """Stop a container of ours gracefully; says in words how it ended.

        Raises TorbizError: there is none of that name (`no_container`), it is not ours
        (`not_ours`).
        """
        name = name or self.config.container
        box = await self._own_container(name)
        if not box.running:
            return f"{name} has stopped already."
        if box.paused:
            # A paused process cannot react to the signal.
            await self._container_call(name, lambda api: api.unpause(name), "waking the container")

        def stop(client: DockerClient) -> int:
            client.api.stop(name, timeout=self._grace_s)
            state = client.api.inspect_container(name)["State"]
            return int(state.get("ExitCode", 0))

        engine = await self._finder.engine()
        try:
            code = await engine.call(stop, doing=f"stopping {name}", timeout_s=self._grace_s + 15.0)
        except Exception as error:
            # A container that is removed at its end is gone by now.
            if not _is_not_found(error):
                raise
            return f"{name} is stopped and gone."
        if code == 137:
            return f"{name} did not stop within {self._grace_s} s and was killed."
        return f"{name} is stopped (exit code {code})."

    async def unpause(self, name: str = "") -> None:
        """Let a paused container of ours go on. Raises as `stop_container` does."""
        name = name or self.config.container
        if (await self._own_container(name)).paused:
            await self._container_call(name, lambda api: api.unpause(name), "waking the container")

    async def remove_container(self, name: str = "") -> None:
        """Remove a container of ours that has ended; the rest of its log is kept before.

        Raises as `stop_container` does, and TorbizError (`in_use`) when it still runs.
        """
        name = name or self.config.container
        box = await self._own_container(name)
        if box.running:
            raise TorbizError(
                f"The container {name} is running.",
                remedy="Stop it first.",
                code="in_use",
            )
        if box.hosted and self._paths is not None and self._paths.logs.is_dir():
            from torbiz_tui.environments.docker.container_log import copy_rest

            await copy_rest(self._finder, self._paths, box.id, box.name)
        await self._container_call(
            name, lambda api: api.remove_container(name), "removing the container"
        )

    async def remove_image(self, tag: str = "") -> int:
        """Remove an image of ours by its tag (or id); returns the bytes that this freed.

        Raises TorbizError: there is none (`no_image`), it is not ours (`not_ours`), or a
        container is made from it (`in_use`, which says who).
        """
        tag = tag or self.config.image
        holdings = await self.holdings()
        image = holdings.image(tag)
        if image is None:
            raise TorbizError(f"There is no image {tag}.", code="no_image")
        require_ours(image.owner, f"The image {tag}")
        if image.used_by:
            users = ", ".join(image.used_by)
            raise TorbizError(
                f"The image {tag} is in use.",
                why=f"These containers are made from it: {users}.",
                remedy="Stop and remove them first.",
                code="in_use",
            )
        await self.remove_image_reference(tag)
        if len(image.tags) > 1:
            return 0
        unique = image.unique_bytes
        return holdings.freed.get(image.id, 0) if unique is None else unique

    async def remove_image_reference(self, reference: str) -> None:
        """Remove one tag or id, never by force. Raises TorbizError (`in_use`) on a conflict."""
        engine = await self._finder.engine()
        try:
            await engine.call(
                lambda client: client.api.remove_image(reference, force=False),
                doing=f"removing the image {reference}",
                timeout_s=_SIZES_TIMEOUT_S,
            )
        except Exception as error:
            if _is_not_found(error):
                return
            raise _conflict(error, f"The image {reference} is in use.") from error

    async def shell_command(self) -> list[str]:
        """The command that opens a shell in the running container, for the app to step aside.

        Raises TorbizError: no docker command (`no_docker_client`), no such container
        (`no_container`), or it does not run (`not_running`).
        """
        name = self.config.container
        engine = await self._finder.engine()
        client = client_argv(engine.endpoint)
        box = next(
            (box for box in (await self.holdings(engine)).containers if box.name == name), None
        )
        if box is None or not box.running or box.paused:
            raise TorbizError(
                f"The container {name} does not run."
                if box is None or not box.paused
                else f"The container {name} is paused.",
                remedy="Start sharing first."
                if box is None or not box.paused
                else f"Let it go on first (`docker unpause {name}`).",
                code="not_running" if box is not None else "no_container",
            )
        shell = "bash" if await self._has_bash(engine, name) else "sh"
        return [*client, "exec", "-it", name, shell]

    async def _has_bash(self, engine: Engine, name: str) -> bool:
        def look(client: DockerClient) -> bool:
            made = client.api.exec_create(name, ["bash", "-c", "exit 0"])
            client.api.exec_start(made["Id"])
            return bool(client.api.exec_inspect(made["Id"])["ExitCode"] == 0)

        try:
            return await engine.call(look, doing="looking for a shell in the container")
        except Exception as error:
            if isinstance(error, TorbizError) and error.code != "docker_gone":
                return False
            raise

    async def cleanup_candidates(self) -> list[Candidate]:
        """What a clean-up would take, in the order of taking it; changes nothing."""
        return candidates(await self.holdings(), self.config)

    async def clean(self, chosen: Sequence[Candidate], tell: Callable[[str], None]) -> Cleaned:
        """Remove those of the candidates that are still ours and not in use.

        `tell` gets a line for each. What cannot be removed is among the problems.
        """
        return await remove_candidates(self, chosen, tell)

    async def commands(self, overview: Overview | None = None) -> list[DockerCommand]:
        """The guide's commands for advanced users, with the facts of this engine."""
        overview = overview or await self.overview()
        return docker_commands(
            self.config,
            overview.endpoint,
            prune_note=overview.prune_text,
            stop_grace_s=self._grace_s,
        )

    def close(self) -> None:
        """Close the connections to the engine."""
        self._finder.close()

    async def _own_container(self, name: str) -> ContainerInfo:
        engine = await self._finder.engine()
        holdings = await engine.call(
            lambda client: read_holdings(client, self.config, None),
            doing="listing containers and images",
        )
        for box in holdings.containers:
            if name in (box.name, box.id):
                require_ours(box.owner, f"The container {name}")
                return box
        raise TorbizError(f"There is no container {name}.", code="no_container")

    async def _container_call(self, name: str, work: Callable[[Any], T], doing: str) -> None:
        engine = await self._finder.engine()
        try:
            await engine.call(lambda client: work(client.api), doing=doing)
        except Exception as error:
            if not _is_not_found(error):
                raise _conflict(error, f"The container {name} is busy.") from error


def require_ours(owner: Owner, what: str) -> None:
    """Raises TorbizError (`not_ours`) for what another program has made."""
    if owner is Owner.OTHER:
        raise TorbizError(
            f"{what} is not of this program.",
            why="It has neither this program's label nor the configured name.",
            remedy="Use the docker command for it, if you mean it.",
            code="not_ours",
        )


def _is_not_found(error: Exception) -> bool:
    return getattr(getattr(error, "response", None), "status_code", None) == 404


def _conflict(error: Exception, what: str) -> Exception:
    """The engine's 409 as an error for a person; anything else as it is."""
    from torbiz_tui.logs.sanitizing import sanitize_line

    if isinstance(error, TorbizError) or not hasattr(error, "explanation"):
        return error
    return TorbizError(
        what,
        why=sanitize_line(str(error.explanation or error)),
        remedy="Stop and remove the containers that use it, then try again.",
        code="in_use",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
