"""The container engine in use: every call has a time limit and stays off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.causes import Failure
from torbiz_tui.environments.docker.connection import EngineConnection
from torbiz_tui.environments.docker.endpoints import Endpoint, current_endpoints
from torbiz_tui.environments.docker.facts import EngineFacts
from torbiz_tui.environments.docker.installed import look
from torbiz_tui.environments.docker.probing import probe
from torbiz_tui.environments.docker.problems import engine_error, engine_gone, is_gone, no_engine
from torbiz_tui.environments.docker.streaming import EngineStream
from torbiz_tui.errors import TorbizError
from torbiz_tui.threads import call_abandonable

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Engine", "EngineFacts", "EngineFinder"]

T = TypeVar("T")

CALL_TIMEOUT_S = 20.0
# After so much silence of a stream the engine is asked whether it is still there.
SILENCE_S = 30.0
_PING_TIMEOUT_S = 10.0
_PINGS = 3
_IDLE_CONNECTIONS = 4


class Engine:
    """One engine that has answered.

    `gone` turns true when it stopped to answer; EngineFinder.engine looks anew then.
    """

    def __init__(self, endpoint: Endpoint, facts: EngineFacts) -> None:
        self.endpoint = endpoint
        self.facts = facts
        self.gone = False
        self._idle: list[EngineConnection] = []

    async def call(
        self, work: Callable[[DockerClient], T], *, doing: str, timeout_s: float = CALL_TIMEOUT_S
    ) -> T:
        """Run a short call of the SDK in a thread.

        `doing` completes "while …" for a person: `starting the container`. A call that is given up
        (time-out, cancel) closes its connection. Raises TorbizError when the engine is gone (code
        `docker_gone`), does not answer in time (`docker_timeout`) or refuses (see `problems`);
        docker.errors.NotFound, and an APIError with status 409, come through as they are.
        """
        connection = self._idle.pop() if self._idle else None

        def run() -> T:
            nonlocal connection
            if connection is None:
                connection = self._connect(timeout_s)
            connection.limit(timeout_s)
            return work(connection.client)

        try:
            async with asyncio.timeout(timeout_s):
                result = await call_abandonable(run, f"docker: {doing}")
        except BaseException as error:
            if connection is not None:
                connection.cut()
            if not isinstance(error, Exception) or _is_answer(error):
                raise
            raise self._failed(error, doing=doing, timeout_s=timeout_s) from error
        if connection is not None and len(self._idle) < _IDLE_CONNECTIONS:
            self._idle.append(connection)
        return result

    async def stream(
        self, open_stream: Callable[[DockerClient], Iterator[T]], *, doing: str
    ) -> AsyncGenerator[T, None]:
        """The items of a blocking iterator of the SDK, as they come and without loss.

        The iterator runs in a thread with a connection of its own, and is best returned as the SDK
        gives it (a CancellableStream in a generator hides that the engine went away). Leaving the
        loop, closing it or cancelling it closes that connection, which also ends a build on the
        engine's side; use contextlib.aclosing where the loop may be left. Raises as `call` does,
        also when the engine goes away in the middle.
        """
        items = EngineStream(
            lambda: self._connect(None),
            lambda connection: open_stream(connection.client),
            lambda: self._still_there(doing),
            name=f"docker: {doing}",
            silence_s=SILENCE_S,
        ).items()
        try:
            async for item in items:
                yield item
        except TorbizError:
            raise
        except Exception as error:
            if _is_answer(error):
                raise
            raise self._failed(error, doing=doing, timeout_s=CALL_TIMEOUT_S) from error
        finally:
            await items.aclose()
        # Some streams end alike when the container ends and when the engine does.
        await self._still_there(doing)

    async def _still_there(self, doing: str) -> None:
        for left in reversed(range(_PINGS)):
            try:
                await self.call(
                    lambda client: client.ping(), doing=doing, timeout_s=_PING_TIMEOUT_S
                )
            except TorbizError as error:
                # A machine that is very busy may be late; one that is gone is known at once.
                if error.code != "docker_timeout" or not left:
                    raise
            else:
                return

    def _connect(self, timeout_s: float | None) -> EngineConnection:
        return EngineConnection(
            self.endpoint, api_version=self.facts.api_version, timeout_s=timeout_s
        )

    def _failed(self, error: Exception, *, doing: str, timeout_s: float) -> TorbizError:
        if not isinstance(error, TimeoutError) and is_gone(error):
            self.gone = True
            return engine_gone(self.endpoint, doing=doing)
        return engine_error(error, self.endpoint, doing=doing, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()


def _is_answer(error: BaseException) -> bool:
    """Whether callers want to see this answer of the engine as it is."""
    from docker import errors

    if isinstance(error, errors.NotFound):
        return True
    if not isinstance(error, errors.APIError):
        return False
    # Podman answers 500 where the API's description says 409.
    if error.response is not None and "name is already in use" in str(error.explanation):
        error.response.status_code = 409
    return error.status_code == 409


class EngineFinder:
    """Finds the engine and keeps it while it answers; looks again once it is gone.

    `tried` holds the addresses that gave no engine when it looked last, with the reasons.
    """

    def __init__(self, config: DockerConfig) -> None:
        self._config = config
        self._engine: Engine | None = None
        self._looking = asyncio.Lock()
        self.tried: tuple[Failure, ...] = ()

    async def engine(self) -> Engine:
        """The engine that was found last, else what `find` finds."""
        if self._engine is not None and not self._engine.gone:
            return self._engine
        async with self._looking:
            # Somebody else may have looked meanwhile.
            if self._engine is not None and not self._engine.gone:
                return self._engine
            return await self._find()

    async def find(self) -> Engine:
        """Look anew. Raises BlockedError whose code says what is the matter, see `causes`.

        Every address has a time limit of a few seconds, and they are asked at the same time.
        """
        async with self._looking:
            return await self._find()

    async def _find(self) -> Engine:
        candidates = await asyncio.to_thread(current_endpoints, self._config)
        asked = [asyncio.create_task(probe(endpoint)) for endpoint in candidates]
        failures: list[Failure] = []
        try:
            for endpoint, answer in zip(candidates, asked, strict=True):
                found = await answer
                if isinstance(found, EngineFacts):
                    self._keep(Engine(endpoint, found))
                    break
                failures.append(found)
        finally:
            for task in asked:
                task.cancel()
            self.tried = tuple(failures)
        if len(failures) == len(candidates):
            self.forget()
            raise no_engine(failures, await asyncio.to_thread(look))
        assert self._engine is not None
        return self._engine

    def _keep(self, engine: Engine) -> None:
        self.forget()
        self._engine = engine

    def forget(self) -> None:
        """The engine is gone; the next question looks anew."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def close(self) -> None:
        """Close the connections."""
        self.forget()
