"""An inference session over the swarm that outlives its servers and can go back."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from chat_answer import Route
from chat_errors import ChatError, is_out_of_memory, refused_length
from log_lines import runner_logger
from server_stream import ServerGoneError, ServerStream, SessionEndedError, StoppedError, WireFormat
from state_buffer import StateBuffer
from swarm_route import SwarmRoute, can_rewind, hops_of

CLOSE_WAIT_S = 1.0

logger = runner_logger()


@dataclass
class _Part:
    """Consecutive blocks that one server computes, and what it was sent so far."""

    first: int
    end: int
    history: StateBuffer = field(default_factory=StateBuffer)
    span: Any = None
    stream: ServerStream | None = None
    held: int = 0  # tokens in the server's cache
    rewind: bool = False  # the server's cache is longer than `held`


@dataclass
class _Step:
    """How far a step has come: `states` are those of the tokens from `first` on."""

    states: Any
    first: int
    end: int
    index: int = 0
    step_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class _Trouble:
    """Failures in a row within a step."""

    last_progress: float
    index: int = -1
    attempts: int = 0
    told: set[tuple[int, int]] = field(default_factory=set)
    refused: set[Any] = field(default_factory=set)
    avoid: set[Any] = field(default_factory=set)  # servers that refused twice
    full: BaseException | None = None  # what a server without memory for us said


class _PartFailedError(Exception):
    def __init__(self, part: _Part, error: BaseException) -> None:
        super().__init__(repr(error))
        self.part, self.error = part, error


@dataclass
class Watch:
    """Who waits for the session's next steps: what stops them, and what is told meanwhile."""

    stop: threading.Event = field(default_factory=threading.Event)
    recovering: Callable[[int, int], None] = lambda _first, _end: None
    recovered: Callable[[float, Route], None] = lambda _seconds, _route: None
    make_room: Callable[[], bool] = lambda: False


class SwarmSession:
    """What Petals' `generate(session=...)` asks of a session, without its two weaknesses.

    A server that fails is replaced, and only it: the new one is sent what the old one was, servers
    after it only what is new. Petals 2.2.0 breaks there ("Broken input cache"), and copies its
    history with every token. And the session can be set back to an earlier token, where a server
    that cannot do that is sent its tokens anew.
    """

    def __init__(self, manager: Any, route: SwarmRoute, wire: WireFormat, max_length: int) -> None:
        self._manager = manager
        self._route = route
        self._wire = wire
        self._max_length = max_length
        self._parts = [_Part(0, len(manager))]
        self._position = 0
        self._worker = importlib.import_module(
            "hivemind.moe.client.remote_expert_worker"
        ).RemoteExpertWorker
        self.output_ids: Any = None
        self.watch = Watch()

    @property
    def position(self) -> int:
        """How many tokens the session has seen."""
        return self._position

    @property
    def reusable(self) -> int:
        """How many of them no server has to compute again."""
        return min(part.held for part in self._parts)

    @property
    def route(self) -> Route:
        """The servers in use."""
        spans = [part.span for part in self._parts if part.span is not None]
        return Route(len(self._manager), hops_of(spans), adapter=self._route.adapter)

    def rewind(self, tokens: int) -> None:
        """Keep only the first `tokens` tokens; 0 is as good as a new session."""
        self.output_ids = self.output_ids[:, :tokens] if tokens else None
        position = max(tokens - 1, 0)  # the last token is always sent with the next ones
        if position >= self._position:
            return
        self._position = position
        for part in self._parts:
            part.history.cut(position)
            if part.held <= position:
                continue
            part.held, part.rewind = position, True
            if part.span is not None and not can_rewind(part.span):
                # Its cache is asked for again in a moment, so it should be free by then.
                self._close_stream(part, wait_s=CLOSE_WAIT_S)

    def plan(self, avoid: Collection[Any] = ()) -> None:
        """Choose servers, none to `avoid`, for the blocks that have none.

        Raises ChatError (missing_blocks).
        """
        for part in list(self._parts):
            if part.span is not None:
                continue
            spans = self._route.spans(part.first, part.end, tokens=self._max_length, avoid=avoid)
            parts = [_Part(span.start, span.end, span=span) for span in spans]
            parts[0].history = part.history
            index = self._parts.index(part)
            self._parts[index : index + 1] = parts

    def step(self, inputs: Any, prompts: Any = None, hypo_ids: Any = None) -> Any:
        """Run new tokens through all blocks.

        Raises StoppedError when the watch says stop, and ChatError or what a server said last when
        it could not be replaced in time. The session is of no use afterwards.
        """
        del prompts, hypo_ids  # for tuned prompts and beams, which a chat has not
        tokens = inputs.shape[1]
        end = self._position + tokens
        if end > self._max_length:
            raise ValueError(f"Maximum length exceeded: {end} of {self._max_length} tokens")
        step = _Step(inputs.cpu(), self._position, end)
        began = time.monotonic()
        trouble: _Trouble | None = None
        while True:
            # A stop before the first try is seen between two tokens, where it costs no session.
            if trouble is not None and self.watch.stop.is_set():
                raise StoppedError
            try:
                self.plan(trouble.avoid if trouble is not None else ())
                self._worker.run_coroutine(self._run(step))
                break
            except (ChatError, _PartFailedError) as error:
                trouble = trouble or _Trouble(time.monotonic())
                self._recover(error, step, trouble)
        self._position = end
        if trouble is not None and trouble.told:
            self.watch.recovered(time.monotonic() - began, self.route)
        return step.states[:, -tokens:].to(device=inputs.device, dtype=inputs.dtype)

    def close(self) -> concurrent.futures.Future[None]:
        """Let go of the servers' caches, without waiting for servers that may not answer."""
        streams = [part.stream for part in self._parts if part.stream is not None]
        self._parts = [_Part(0, len(self._manager))]
        future: concurrent.futures.Future[None] = self._worker.run_coroutine(
            _close_all(streams), return_future=True
        )
        return future

    async def _run(self, step: _Step) -> None:
        await self._open_streams()
        while step.index < len(self._parts):
            part = self._parts[step.index]
            assert part.stream is not None
            part.history.extend(step.states, step.first)
            first = part.held
            metadata: dict[str, Any] = {"step_id": step.step_id}
            if part.rewind:
                metadata["start_from_position"] = first
            if first == self._position and (following := self._following(step.index)):
                metadata["next_servers"] = following
            try:
                states = await part.stream.exchange(
                    part.history.since(first), metadata, self._wire, self.watch.stop
                )
            except StoppedError:
                raise
            except Exception as error:  # whatever it is, another server may do better
                raise _PartFailedError(part, error) from error
            part.held, part.rewind = step.end, False
            step.states, step.first = states, first
            step.index += 1

    async def _open_streams(self) -> None:
        parts = [part for part in self._parts if part.stream is None]
        if not parts:
            return
        streams = [ServerStream(self._manager, part.span, self._max_length) for part in parts]
        opened = await asyncio.gather(
            *(stream.open(self.watch.stop) for stream in streams), return_exceptions=True
        )
        failed: _PartFailedError | None = None
        for part, stream, error in zip(parts, streams, opened, strict=True):
            if error is None:
                part.stream, part.held, part.rewind = stream, 0, False
            elif isinstance(error, StoppedError):
                raise error
            else:
                failed = _PartFailedError(part, ServerGoneError(repr(error)))
        if failed is not None:
            raise failed

    def _following(self, index: int) -> list[tuple[str, str, int, int]]:
        """Return the servers that may be pushed this step's states: they lack nothing else."""
        following = []
        for part in self._parts[index + 1 :]:
            if part.stream is None or not part.stream.stepped or part.held != self._position:
                break
            peer = part.stream.peer_id.to_base58()
            following.append((peer, part.stream.session_id, part.first, part.end))
        return following

    def _recover(self, error: ChatError | _PartFailedError, step: _Step, trouble: _Trouble) -> None:
        """Prepare the next attempt, or raise what the person should read."""
        now = time.monotonic()
        if step.index > trouble.index:
            trouble.index, trouble.attempts, trouble.last_progress = step.index, 0, now
        trouble.attempts += 1
        config = self._manager.config
        if isinstance(error, _PartFailedError):
            cause = error.error
            first, end = error.part.first, error.part.end
            self._give_up(error.part, cause, trouble)
        else:
            cause = error
            trouble.avoid.clear()  # better those that refused than nobody
            first, end = (error.missing or [[0, len(self._manager)]])[0]
        if trouble.attempts > config.max_retries or (
            now - trouble.last_progress > 2 * config.request_timeout
        ):
            if trouble.full is not None:
                raise trouble.full
            self._route.spans(first, end, log=False)  # raises when nobody is left
            raise cause
        # Opened anew where it was, an idle session that has ended is no news.
        ended = isinstance(cause, SessionEndedError) and trouble.attempts == 1
        if not ended and not any(low <= first and end <= high for low, high in trouble.told):
            trouble.told.add((first, end))
            self.watch.recovering(first, end)
        delay = self._manager.get_retry_delay(trouble.attempts - 1)
        logger.warning("Blocks %d:%d failed (next try in %.2f s): %r", first, end, delay, cause)
        if self.watch.stop.wait(delay):
            raise StoppedError
        if isinstance(error, ChatError) or trouble.attempts > 1:
            self._route.refresh(self.watch.stop)

    def _give_up(self, part: _Part, error: BaseException, trouble: _Trouble) -> None:
        peer = part.span.peer_id
        self._close_stream(part)
        part.span = None
        if isinstance(error, ServerGoneError):
            self._route.drop(peer)
            return
        if (limit := refused_length(error)) is not None:
            raise limit
        if is_out_of_memory(error):
            trouble.full = error
            if peer not in trouble.refused and self.watch.make_room():
                trouble.refused.add(peer)
                return
            trouble.avoid.add(peer)
        elif peer in trouble.refused:
            trouble.avoid.add(peer)
        trouble.refused.add(peer)

    def _close_stream(self, part: _Part, wait_s: float = 0) -> None:
        stream, part.stream = part.stream, None
        part.held, part.rewind = 0, False
        if stream is not None:
            closing = self._worker.run_coroutine(stream.close(), return_future=True)
            concurrent.futures.wait([closing], wait_s)


async def _close_all(streams: list[ServerStream]) -> None:
    await asyncio.gather(*(stream.close() for stream in streams))
