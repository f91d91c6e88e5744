"""The chat service: one warm runner, questions to it, answers from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.environments.base import EnvironmentDriver, RunnerCommand
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.chosen_model import ChosenModel, ServedRevision, nothing_served
from torbiz_tui.inference.events import (
    DOWNLOADING,
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    GenerateOptions,
    Message,
    Recovered,
    Recovering,
    Route,
    StageChanged,
)
from torbiz_tui.inference.runner_command import SwarmPeers, runner_command
from torbiz_tui.inference.runner_connection import (
    Change,
    PendingAnswer,
    RunnerConnection,
    connection_lost,
    runner_died,
)
from torbiz_tui.inference.runner_messages import generate, not_served, read_error, read_event
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths

__all__ = ["FindPeers", "InferenceService", "not_served"]

_CANCEL_GRACE_S = 5.0
_STOP_GRACE_S = 5.0
# Questions of other programs may be answered first, each for minutes.
_LINE_S = 600.0

FindPeers = Callable[[ModelInfo], Awaitable[SwarmPeers]]
"""Answers with the initial peers of the swarm that serves the model; None is the public swarm.

Raises NotServedError when there is no swarm to ask.
"""


class InferenceService:
    """Joins or starts the runner when it is needed, and another when one has died.

    The runner belongs to no program: it is left, and stays warm for `ask.keep_warm_s`.
    """

    def __init__(
        self,
        driver: EnvironmentDriver,
        paths: Paths,
        config: Config,
        find_peers: FindPeers,
        served_revision: ServedRevision = nothing_served,
    ) -> None:
        self._driver = driver
        self._config = config
        self._find_peers = find_peers
        self._chosen = ChosenModel(paths, config, served_revision)
        self._connection: RunnerConnection | None = None
        self._outgoing: set[RunnerConnection] = set()
        self._connecting = asyncio.Lock()
        self._answers: list[PendingAnswer] = []
        self._broadcast: Broadcast[Change] = Broadcast()

    @property
    def model(self) -> str:
        """The model that is asked; empty when none is configured."""
        return self._chosen.name

    @property
    def local(self) -> bool:
        """Whether the model is loaded on this machine instead of asking a swarm."""
        return self._chosen.local

    @property
    def adapter(self) -> str:
        """The LoRA adapter that its servers are to use; empty for none."""
        return self._chosen.adapter

    def choose(
        self,
        model: str,
        *,
        local: bool | None = None,
        revision: str = "",
        adapter: str | None = None,
    ) -> None:
        """Ask another model, or elsewhere, from the next question on; None leaves where.

        `revision` and `adapter` were named for this model, and go before what is configured and
        what is served; no adapter (None) takes that which is configured for this model.
        """
        self._chosen.choose(model, local=local, revision=revision, adapter=adapter)

    @property
    def now(self) -> StageChanged:
        """How far the runner is; without a stage when none runs."""
        connection = self._connection
        if connection is None or connection.ended:
            return StageChanged("")
        return connection.now if connection.stage else StageChanged("importing")

    @property
    def stage(self) -> str:
        """The stage alone; empty when no runner runs."""
        return self.now.stage

    @property
    def route(self) -> Route | None:
        """Who would answer now; None while it is not known."""
        return None if self._connection is None else self._connection.route

    @property
    def refusal(self) -> TorbizError | None:
        """Why the runner that was started last could not get ready; None where it can."""
        connection = self._connection
        if connection is None or connection.fatal is None:
            return None
        return self._error(connection.fatal)

    @property
    def idle_session(self) -> bool:
        """Whether the runner may hold a session open with the swarm while it answers nothing."""
        connection = self._connection
        if connection is None or connection.busy:
            return False
        return connection.may_hold_session and not self.local

    def subscribe(self) -> AbstractContextManager[Subscription[Change]]:
        """Listen to the runner's stages and routes."""
        return self._broadcast.subscribe()

    async def warm(self) -> None:
        """Join or start the runner for this model and swarm; it gets ready by itself.

        Raises NotServedError when there is no swarm to ask, TorbizError when it cannot start.
        """
        await self._connect()

    def ask(
        self, messages: Sequence[Message], options: GenerateOptions, *, conversation: str = ""
    ) -> AsyncIterator[ChatEvent]:
        """Answer the last of `messages`: stages while the runner warms up, tokens, the end.

        Questions of one `conversation` share a session: only what is new of it travels. Raises
        NotServedError when blocks are not served, TorbizError for every other failure. A caller
        that stops iterating cancels the answer.
        """
        return self._answer(generate(messages, options, conversation))

    def complete(self, prompt: str, options: GenerateOptions) -> AsyncIterator[ChatEvent]:
        """Continue a text as it stands; otherwise as `ask`."""
        return self._answer(generate(prompt, options))

    async def cancel(self, conversation: str = "") -> None:
        """Stop the running answers of a conversation, or all; each ends with `AnswerDone`.

        A runner that does not react within 5 s is ended.
        """
        answers = [one for one in self._answers if conversation in ("", one.conversation)]
        for answer in answers:
            await _cancel(answer)
        waiting = [asyncio.ensure_future(answer.ended.wait()) for answer in answers]
        if not waiting:
            return
        try:
            await asyncio.wait(waiting, timeout=_CANCEL_GRACE_S)
        finally:
            for waiter in waiting:
                waiter.cancel()
        for connection in {answer.connection for answer in answers if not answer.ended.is_set()}:
            if connection is not None and not connection.ended:
                logger("inference").warning("the runner does not react to a cancel: ending it")
                await connection.end(grace_s=0.5)

    async def release(self, conversation: str) -> None:
        """Give up what servers hold for this conversation."""
        if self._connection is not None:
            with contextlib.suppress(TorbizError):
                await self._connection.send({"type": "release", "conversation": conversation})

    async def close(self) -> None:
        """Let go of the runner; answers that are still waited for end as cancelled."""
        async with self._connecting:
            connection, self._connection = self._connection, None
            for leaving in (*self._outgoing, connection):
                if leaving is not None:
                    await leaving.leave()
            self._outgoing.clear()

    # The runner

    async def _connect(self) -> RunnerConnection:
        async with self._connecting:
            command, key = await self._command()
            connection = self._connection
            if connection is not None and not connection.ended and connection.key == key:
                return connection
            if connection is not None:
                self._connection = None
                self._broadcast.publish(StageChanged(""))
                await self._leave(connection)
            process = await self._driver.chat_runner(command, key)
            connection = RunnerConnection(process, key, self._changed)
            self._connection = connection
            self._broadcast.publish(self.now)
            return connection

    def _changed(self, connection: RunnerConnection, change: Change) -> None:
        if connection is self._connection:
            self._broadcast.publish(change)

    async def _leave(self, connection: RunnerConnection) -> None:
        """Let go of a runner, once its last answer has ended."""
        if connection.busy and not connection.ended:
            self._outgoing.add(connection)
            return
        self._outgoing.discard(connection)
        await connection.leave()

    async def allow_pickled(self) -> None:
        """Load this model also where its weights can run code; remembered for it alone.

        Raises TorbizError when that cannot be kept; where the hub cannot be asked what the model
        is, it is kept with the next question.
        """
        await self._chosen.allow_pickled()

    async def _command(self) -> tuple[RunnerCommand, str]:
        """What is to run, and the key by which programs share it."""
        asked = await self._chosen.asked()
        peers = None if asked.local else await self._find_peers(asked.info)
        return runner_command(
            asked.info,
            peers,
            self._config.ask,
            local=asked.local,
            allow_pickled=asked.allow_pickled,
            revision=asked.revision,
            adapter=asked.adapter,
        )

    # An answer

    async def _answer(self, request: Mapping[str, Any]) -> AsyncIterator[ChatEvent]:
        answer = PendingAnswer(str(request.get("conversation", "")))
        self._answers.append(answer)
        connection: RunnerConnection | None = None
        done = False
        try:
            connection = await self._connect()
            connection.expect(answer)
            async for event in self._until_settled(connection, answer):
                yield event
            if not answer.cancelled:
                await self._send(connection, answer, request)
                async for event in self._received(connection, answer):
                    done = isinstance(event, AnswerDone)
                    yield event
            if not done:
                done = True
                yield AnswerDone("cancelled", 0, 0, 0, 0.0, 0.0)
        finally:
            answer.ended.set()
            self._answers.remove(answer)
            if connection is not None:
                connection.forget(answer)
                if answer.sent_as and not done and not connection.ended:
                    with contextlib.suppress(TorbizError):
                        await connection.send({"type": "cancel", "id": answer.sent_as})
                if connection in self._outgoing:
                    await self._leave(connection)

    async def _until_settled(
        self, connection: RunnerConnection, answer: PendingAnswer
    ) -> AsyncIterator[ChatEvent]:
        limit = self._config.ask.start_timeout_s
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        if connection.stage != DOWNLOADING:
            deadline = loop.time() + limit
        told = bool(connection.stage) and not connection.settled
        if told:
            yield connection.now
        while not connection.settled and not answer.cancelled:
            try:
                # The time-out must not span a yield: it would interrupt who iterates.
                async with asyncio.timeout_at(deadline):
                    message = await answer.messages.get()
                if connection.stage == DOWNLOADING:
                    # The runner itself gives up where nothing comes.
                    deadline = None
                elif deadline is None:
                    deadline = loop.time() + limit
            except TimeoutError:
                stage = connection.stage
                await connection.end(_STOP_GRACE_S)
                raise TorbizError(
                    f"The chat runner is not ready after {limit:.0f} s (it hangs in: {stage}).",
                    remedy="Ask again; its log (petals_inference.log) has the details.",
                    code="timeout",
                ) from None
            event = read_event(message) if message is not None else None
            if event == StageChanged("ready") and not told:
                # It has been warm before.
                continue
            if event is not None:
                told = True
                yield event
        if connection.fatal is not None:
            raise self._error(connection.fatal)

    async def _send(
        self, connection: RunnerConnection, answer: PendingAnswer, request: Mapping[str, Any]
    ) -> None:
        try:
            await connection.ask(answer, request)
        except TorbizError as error:
            if error.code == "runner_died":
                await self._died(connection)
            raise

    async def _received(
        self, connection: RunnerConnection, answer: PendingAnswer
    ) -> AsyncIterator[ChatEvent]:
        """The events of an answer to its end; none more when it is cut off by a cancel."""
        ask = self._config.ask
        limit = _LINE_S
        while True:
            message = await self._next(answer, limit)
            if message is None:
                if connection.fatal is not None:
                    raise self._error(connection.fatal)
                if answer.cancelled or connection.left:
                    return
                await self._died(connection)
            if message["type"] == "error":
                raise self._error(message)
            event = read_event(message)
            if event is None:
                continue
            if isinstance(event, AnswerStarted | Recovered):
                limit = ask.idle_timeout_s
            elif isinstance(event, Recovering):
                # The runner bounds the search itself.
                limit = max(ask.idle_timeout_s, ask.start_timeout_s)
            yield event
            if isinstance(event, AnswerDone):
                return

    async def _next(self, answer: PendingAnswer, limit_s: float) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(limit_s):
                return await answer.messages.get()
        except TimeoutError:
            raise TorbizError(
                f"No further word came for {limit_s:.0f} s.",
                why="The servers of the swarm may be overloaded or gone.",
                remedy="Ask again.",
                code="timeout",
            ) from None

    def _error(self, message: Mapping[str, Any]) -> TorbizError:
        return read_error(message, self._chosen.name, self._chosen.num_blocks)

    async def _died(self, connection: RunnerConnection) -> NoReturn:
        report = await connection.how_it_ended()
        if report is None:
            raise connection_lost()
        logger("inference").error("the chat runner died: %s", report)
        raise runner_died(report)


async def _cancel(answer: PendingAnswer) -> None:
    answer.cancelled = True
    if not answer.sent_as or answer.connection is None:
        # It has not been sent: whoever waits for the runner looks up.
        answer.put(None)
        answer.ended.set()
        return
    with contextlib.suppress(TorbizError):
        await answer.connection.send({"type": "cancel", "id": answer.sent_as})
