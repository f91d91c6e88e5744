"""How a container is from now on: looked at again and again, also while the engine comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.records import ContainerState, state_of
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.logs.writing import logger

if TYPE_CHECKING:
    from docker import DockerClient

# Pausing and removing are seen this late; the end itself is told by the engine at once.
POLL_S = 1.0
_LATE_S = 5.0
_LOOKS_MS = 250


@dataclass(frozen=True)
class Sight:
    """A look at a container: its state, or why there is none to see."""

    state: ContainerState | None = None
    lost: str = ""


async def look_at(engine: Engine, name: str) -> ContainerState:
    """The state of a container by id or name. Raises docker.errors.NotFound and as `call` does."""
    return state_of(await inspect(engine, name))


async def inspect(engine: Engine, name: str) -> dict[str, Any]:
    """All that the engine tells of a container. Raises docker.errors.NotFound."""
    return await engine.call(
        lambda client: inspect_container(client, name), doing="looking at the container"
    )


def inspect_container(client: DockerClient, name: str) -> dict[str, Any]:
    """The same, blocking."""
    return dict(client.api.inspect_container(name))


async def exit_code(engine: Engine, container_id: str) -> int | None:
    """Wait for the container's end; its exit code, None when the engine does not tell."""

    def wait(client: DockerClient) -> Iterator[int]:
        # Podman's imitation of Docker's call looks without any pause, which takes half a processor.
        code = _told_by_podman(client, container_id) if engine.facts.podman else None
        if code is None:
            code = int(client.api.wait(container_id, timeout=None)["StatusCode"])
        yield code

    from docker import errors

    with contextlib.suppress(TorbizError, errors.APIError, KeyError, TypeError):
        stream = engine.stream(wait, doing="waiting for the container's end")
        async with contextlib.aclosing(stream):
            async for code in stream:
                return code
    return None


def _told_by_podman(client: DockerClient, container_id: str) -> int | None:
    """The same by Podman's own call; None where that is not to be had."""
    api = client.api
    address = f"{api.base_url}/v4.0.0/libpod/containers/{container_id}/wait"
    reply = api.post(address, params={"interval": f"{_LOOKS_MS}ms"}, timeout=None)
    return int(reply.json()) if reply.ok else None


async def sights(
    finder: EngineFinder, container_id: str, lost: set[str]
) -> AsyncGenerator[Sight, None]:
    """A sight at first and whenever it changes; the last one shows the end, or status `removed`.

    The container's id is in `lost` from when its engine went away until it is seen alive again.
    """
    watch = _Watch(finder, container_id, lost)
    last: Sight | None = None
    try:
        while True:
            sight = await watch.look()
            if sight != last:
                last = sight
                yield sight
            if sight.state is not None and not sight.state.running:
                return
            await watch.rest()
    finally:
        watch.close()


class _Watch:
    """Looks at one container on the engine where it was first seen."""

    def __init__(self, finder: EngineFinder, container_id: str, lost: set[str]) -> None:
        self._finder = finder
        self._id = container_id
        self._address = ""
        self._all_lost = lost
        self._ending: asyncio.Task[int | None] | None = None

    async def look(self) -> Sight:
        from docker import errors

        try:
            engine = await self._finder.engine()
            self._address = self._address or engine.endpoint.address
            if engine.endpoint.address != self._address:
                return self._lost(f"Docker at {self._address} does not answer.")
            state = await look_at(engine, self._id)
        except errors.NotFound:
            state = ContainerState(self._id, "", "removed", exit_code=await self._last_words())
        except errors.APIError as error:
            logger("sharing").warning("looking at the container: %s", error)
            return self._lost("Docker does not tell how the container is.")
        except BlockedError as error:
            return self._lost(error.what)
        except TorbizError:
            return self._lost("Docker does not answer.")
        if state.running:
            self._all_lost.discard(self._id)
            if self._ending is None:
                self._ending = asyncio.create_task(exit_code(engine, self._id), name="await end")
        return Sight(state)

    def _lost(self, why: str) -> Sight:
        self._all_lost.add(self._id)
        self._forget_ending()
        return Sight(lost=why)

    async def _last_words(self) -> int | None:
        if self._ending is None:
            return None
        await asyncio.wait([self._ending], timeout=_LATE_S)
        return self._ending.result() if self._ending.done() else None

    async def rest(self) -> None:
        """Wait until it is worth to look again."""
        waiting = [self._ending] if self._ending is not None and not self._ending.done() else []
        if waiting:
            await asyncio.wait(waiting, timeout=POLL_S)
            return
        await asyncio.sleep(POLL_S)
        self._forget_ending()

    def _forget_ending(self) -> None:
        if self._ending is not None and (not self._ending.done() or self._ending.result() is None):
            self._ending.cancel()
            self._ending = None

    def close(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
