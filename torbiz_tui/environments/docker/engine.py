"""The container engine in use: every call has a time limit and stays off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.endpoints import Endpoint, current_endpoints
from torbiz_tui.environments.docker.problems import engine_error
from torbiz_tui.threads import call_abandonable

if TYPE_CHECKING:
    from docker import DockerClient

T = TypeVar("T")

CALL_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class EngineFacts:
    """What the engine tells of itself.

    `name` is `Docker Engine`, `Docker Desktop` or `Podman`; `platform` such as `linux/amd64`;
    `memory_bytes` and `cpus` are those of the machine (or virtual machine) that it runs containers
    on; `host_network` says whether `--network host` reaches this machine's own network; `nvidia`
    whether it can give GPUs.
    """

    name: str
    version: str
    api_version: str
    platform: str
    cpus: int
    memory_bytes: int
    data_root: str
    rootless: bool = False
    host_network: bool = True
    nvidia: bool = False


class Engine:
    """One engine that has answered."""

    def __init__(self, endpoint: Endpoint, facts: EngineFacts, client: DockerClient) -> None:
        self.endpoint = endpoint
        self.facts = facts
        self._client = client

    async def call(
        self, work: Callable[[DockerClient], T], *, doing: str, timeout_s: float = CALL_TIMEOUT_S
    ) -> T:
        """Run a short call of the SDK in a thread.

        `doing` completes "while …" for a person: `starting the container`. Raises TorbizError
        when the engine is gone (code `docker_gone`), does not answer in time (`docker_timeout`) or
        refuses (`docker_failed`); docker.errors.NotFound, and an APIError with status 409, come
        through as they are.
        """
        from docker import errors

        try:
            async with asyncio.timeout(timeout_s):
                return await call_abandonable(lambda: work(self._client), f"docker: {doing}")
        except errors.NotFound:
            raise
        except Exception as error:
            if isinstance(error, errors.APIError) and error.status_code == 409:
                raise
            raise engine_error(error, self.endpoint, doing=doing, timeout_s=timeout_s) from error

    async def stream(
        self, open_stream: Callable[[DockerClient], Iterator[T]], *, doing: str
    ) -> AsyncIterator[T]:
        """The items of a blocking iterator of the SDK, as they come and without loss.

        The iterator runs in a thread with a connection of its own; leaving the loop, closing it or
        cancelling it closes that connection, which also ends a build on the engine's side. Raises
        as `call` does.
        """
        raise NotImplementedError(f"{open_stream} {doing}")
        yield

    def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(Exception):
            self._client.close()


class EngineFinder:
    """Finds the engine and keeps it while it answers; looks again once it is gone."""

    def __init__(self, config: DockerConfig) -> None:
        self._config = config
        self._engine: Engine | None = None

    async def engine(self) -> Engine:
        """The engine that was found last, else what `find` finds."""
        return self._engine or await self.find()

    async def find(self) -> Engine:
        """Look anew. Raises BlockedError whose code says what is the matter, see `problems`."""
        import docker

        endpoint = current_endpoints(self._config)[0]
        client = await call_abandonable(
            lambda: docker.DockerClient(base_url=endpoint.address, timeout=10), "docker"
        )
        info = await call_abandonable(client.info, "docker info")
        self._engine = Engine(
            endpoint,
            EngineFacts(
                name="Docker Engine",
                version=info["ServerVersion"],
                api_version=client.api.api_version,
                platform="linux/amd64",
                cpus=info["NCPU"],
                memory_bytes=info["MemTotal"],
                data_root=info["DockerRootDir"],
            ),
            client,
        )
        return self._engine

    def forget(self) -> None:
        """The engine is gone; the next question looks anew."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def close(self) -> None:
        """Close the connections."""
        self.forget()
