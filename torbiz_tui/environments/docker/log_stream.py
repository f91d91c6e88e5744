"""Reading a container's log from the engine: without gaps or repeats, also across its restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from torbiz_tui.environments.docker.answer_body import body_pieces
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.log_lines import (
    LineDecoder,
    Position,
    Repeats,
    Resumption,
    StampedLine,
    advance,
    moment,
)
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.logs.writing import logger

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Position", "StampedLine", "container_lines", "container_log", "last_stamp"]

# Lines that come within this time go together; longer would be seen as a delay.
_GATHER_S = 0.02
_GATHER_BYTES = 2**20
_SILENCE_S = 1.0
# An engine may keep the stream open although the container has ended.
_LOOK_AFTER_SILENCES = 2
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_REFUSALS_BORNE = 3
_ENDED = ("exited", "dead", "stopped", "removing")

OnContact = Callable[[bool], None]
OnAnswer = Callable[[], None]


async def container_lines(
    finder: EngineFinder, container_id: str, on_contact: OnContact | None = None
) -> AsyncGenerator[list[str], None]:
    """As `container_log` from the beginning, without the stamps."""
    log = container_log(finder, container_id, on_contact=on_contact)
    async with contextlib.aclosing(log) as batches:
        async for batch in batches:
            yield [line.text for line in batch]


async def container_log(
    finder: EngineFinder,
    container_id: str,
    after: Position | None = None,
    *,
    follow: bool = True,
    on_contact: OnContact | None = None,
    on_answer: OnAnswer | None = None,
) -> AsyncGenerator[list[StampedLine], None]:
    """The lines after a position, in batches: what was logged before, then as they come.

    An empty batch says once that all that was logged before has come. It ends when the container
    has ended and its last line was read, or when it was removed (what was not read by then is
    gone); with `follow` false after what was logged before.

    While the engine that was first asked is away it waits, and goes on where it was; `on_contact(True)` tells that
    contact was lost, `on_contact(False)` that it is back. `on_answer()` tells of all that the engine
    sends, also of what lies before the position. Raises TorbizError when the engine answers but
    refuses to give the log, and when it is away and `follow` is false.
    """
    from docker.errors import APIError

    reader = _LogReader(container_id, after, on_answer)
    tries, lost = 0, False
    while True:
        try:
            engine = await reader.same_engine(finder)
            state = await reader.look(engine)
            if lost:
                lost = False
                _tell(on_contact, lost)
            following = follow and state not in _ENDED
            async with contextlib.aclosing(reader.read(engine, following)) as batches:
                async for batch in batches:
                    tries = 0
                    yield batch
            if not following:
                if not reader.caught_up:
                    yield []
                return
            tries += 1
        except APIError:
            # 404: it was removed; 409: it is just being removed.
            if left := reader.unfinished():
                yield left
            if not reader.caught_up:
                yield []
            return
        except TorbizError as error:
            away = isinstance(error, BlockedError) or error.code in (
                "docker_gone",
                "docker_timeout",
            )
            tries += 1
            if not follow or (not away and tries > _REFUSALS_BORNE):
                raise
            logger("docker").info("the log of %s: %s", container_id[:12], error)
            if not lost:
                lost = True
                _tell(on_contact, lost)
        if tries:
            await asyncio.sleep(_BACKOFF_S[min(tries, len(_BACKOFF_S)) - 1])


async def last_stamp(finder: EngineFinder, container_id: str) -> str | None:
    """The stamp of the last line that the engine has of a log; None when it has none.

    Raises as `Engine.call`.
    """
    reader = _LogReader(container_id, None)
    engine = await reader.same_engine(finder)
    await reader.look(engine)
    return await reader.last_stamp(engine)


def _tell(on_contact: OnContact | None, lost: bool) -> None:
    if on_contact is not None:
        on_contact(lost)


class _LogReader:
    """Reads one container's log, in as many goes as it takes."""

    def __init__(
        self, container_id: str, after: Position | None, on_answer: OnAnswer | None = None
    ) -> None:
        self._id = container_id
        self._position = after
        self._on_answer = on_answer
        self._tty = False
        self._run = ""
        self._address = ""
        self._left: list[StampedLine] = []
        self.caught_up = False

    def unfinished(self) -> list[StampedLine]:
        """The last lines without an end, if the stream has ended and there is no more to read."""
        left, self._left = self._left, []
        return left

    async def same_engine(self, finder: EngineFinder) -> Engine:
        """The engine that has the container. Raises TorbizError while it is not the one found."""
        engine = await finder.engine()
        self._address = self._address or engine.endpoint.address
        if engine.endpoint.address != self._address:
            # It would say that there is no such container.
            finder.forget()
            raise TorbizError(f"Docker at {self._address} does not answer.", code="docker_gone")
        return engine

    async def look(self, engine: Engine) -> str:
        """The container's state as the engine names it. Raises docker.errors.NotFound."""
        attrs: Mapping[str, Any] = await engine.call(
            lambda client: client.api.inspect_container(self._id), doing="looking at the container"
        )
        self._tty = bool((attrs.get("Config") or {}).get("Tty"))
        state: Mapping[str, Any] = attrs.get("State") or {}
        self._run = str(state.get("StartedAt") or "")
        return str(state.get("Status") or "")

    async def read(self, engine: Engine, follow: bool) -> AsyncGenerator[list[StampedLine], None]:
        """What is new, until the stream ends or the container has.

        Podman leaves out lines at random of a log that it follows, once the container has ended. So
        what came is kept until it is known that it still ran then; otherwise it is read once more,
        without following.
        """
        from docker.errors import APIError

        decoder = self._decoder(engine)
        resumption, repeats = Resumption(self._position), Repeats()
        run, doubtful = self._run, follow and engine.facts.podman
        # Podman's stamps stand for many lines.
        exact = not engine.facts.podman
        self._left = []
        backlog_end = await self.last_stamp(engine)
        if not follow and exact and self._is_at(backlog_end):
            return
        if backlog_end is None:
            # Nothing was logged yet (or its engine has emptied the log): all that comes is new.
            resumption.all_sent()
            if not self.caught_up:
                self.caught_up = True
                yield []
        silences = 0
        chunks = engine.stream(
            lambda client: body_pieces(_open(client, self._id, self._position, follow=follow)),
            doing="reading the container's log",
        )
        async with contextlib.aclosing(_gathered(chunks)) as batches:
            async for batch in batches:
                if batch:
                    self._answered()
                lines = decoder.feed(b"".join(batch))
                if follow and exact:
                    lines = repeats.dropped(lines)
                new = resumption.new(lines)
                if follow and backlog_end and _reaches(lines, backlog_end, exact=exact):
                    new = resumption.all_sent() + new
                    backlog_end = ""
                    reached = True
                else:
                    reached = not batch
                if new:
                    whole = not doubtful
                    try:
                        whole = whole or await self._still_runs(engine, run)
                    except APIError:
                        # It was removed, so this is all that there is to have.
                        yield new
                        raise
                    if not whole:
                        return
                    self._position = advance(self._position, new)
                    yield new
                if reached and not self.caught_up:
                    self.caught_up = True
                    yield []
                silences = 0 if batch else silences + 1
                look = follow and silences and silences % _LOOK_AFTER_SILENCES == 0
                if look and await self.look(engine) in _ENDED:
                    return
        for complaint in decoder.complaints[:1]:
            logger("docker").warning("the engine on the log of %s: %s", self._id[:12], complaint)
        left = resumption.new(decoder.finish()) + resumption.all_sent()
        if follow:
            self._left = left
        elif left:
            self._position = advance(self._position, left)
            yield left

    async def _still_runs(self, engine: Engine, run: str) -> bool:
        """Whether the container has not ended since a run of it was begun."""
        return await self.look(engine) not in _ENDED and self._run == run

    def _is_at(self, stamp: str | None) -> bool:
        return self._position is not None and self._position.stamp == stamp

    async def last_stamp(self, engine: Engine) -> str | None:
        """The stamp of the last line that was logged before now; None if there is none."""
        answer: bytes = await engine.call(
            lambda client: _open(client, self._id, None, follow=False, tail="1").content,
            doing="reading the container's log",
        )
        self._answered()
        decoder = self._decoder(engine)
        lines = decoder.feed(answer) + decoder.finish()
        return lines[-1].stamp if lines else None

    def _answered(self) -> None:
        if self._on_answer is not None:
            self._on_answer()

    def _decoder(self, engine: Engine) -> LineDecoder:
        return LineDecoder(framed=not self._tty, shared_stamps=not engine.facts.podman)


def _reaches(lines: list[StampedLine], stamp: str, *, exact: bool) -> bool:
    """Whether the lines go up to the last line that was logged with that stamp.

    A few lines of a moment may be out of order; where a stamp stands for many lines (`exact` is
    false) only later ones tell.
    """
    if exact and any(line.stamp == stamp for line in lines):
        return True
    return bool(lines) and moment(lines[-1].stamp)[0] > moment(stamp)[0] + 1


def _open(
    client: DockerClient,
    container_id: str,
    after: Position | None,
    *,
    follow: bool,
    tail: str = "all",
) -> Any:
    # The SDK's own `logs` hides which output a line is from, and takes the answer byte by byte.
    api: Any = client.api
    response = api._get(
        api._url("/containers/{0}/logs", container_id),
        params={
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(follow),
            "since": after.since if after is not None else 0,
            "tail": tail,
        },
        stream=True,
    )
    api._raise_for_status(response)
    return response


async def _gathered(
    chunks: AsyncGenerator[bytes, None],
) -> AsyncGenerator[list[bytes], None]:
    """Chunks that come close together as one batch; an empty one for every second of silence."""
    waiting: list[bytes] = []
    something, room = asyncio.Event(), asyncio.Event()
    size = 0

    async def take() -> None:
        nonlocal size
        try:
            async for chunk in chunks:
                waiting.append(chunk)
                size += len(chunk)
                something.set()
                if size > _GATHER_BYTES:
                    room.clear()
                    await room.wait()
        finally:
            something.set()

    taking = asyncio.create_task(take(), name="read the container's log")
    try:
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await something.wait()
            except TimeoutError:
                yield []
                continue
            if size <= _GATHER_BYTES and not taking.done():
                await asyncio.sleep(_GATHER_S)
            ended = taking.done()
            something.clear()
            batch = waiting.copy()
            waiting.clear()
            size = 0
            room.set()
            if batch:
                yield batch
            if ended:
                await taking
                return
    finally:
        taking.cancel()
        await asyncio.wait([taking])
        if not taking.cancelled():
            # Whoever went on reading has got it already.
            taking.exception()
        await chunks.aclose()
