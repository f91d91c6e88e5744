"""A connection to the chat runner: what it says of itself, and the answers that wait for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from torbiz_tui.environments.base import ExitReport, RunnerProcess
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import Route, RouteChanged, StageChanged
from torbiz_tui.inference.runner_messages import read_event, runner_ended
from torbiz_tui.troubleshooting.recognising import with_known
from torbiz_tui.troubleshooting.symptom import Place, Severity

Change = StageChanged | RouteChanged
_ENDED_S = 1.0


class PendingAnswer:
    """An answer that somebody waits for, from before its question is sent."""

    def __init__(self, conversation: str = "") -> None:
        self.conversation = conversation
        self.messages: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self.connection: RunnerConnection | None = None
        self.sent_as = ""
        self.cancelled = False
        self.ended = asyncio.Event()

    def put(self, message: Mapping[str, Any] | None) -> None:
        """Take a message; None only wakes whoever waits for one, to look what has happened."""
        self.messages.put_nowait(message)
        if message is not None and message["type"] in ("done", "error"):
            self.ended.set()


class RunnerConnection:
    """Reads what the runner says, keeps its stage and route, and hands answers their messages.

    `changed` gets this connection and each change of stage or route. `key` tells what the runner
    was asked for. `now` is the stage, with how far it is.
    """

    def __init__(
        self,
        process: RunnerProcess,
        key: str,
        changed: Callable[[RunnerConnection, Change], None],
    ) -> None:
        self.key = key
        self.now = StageChanged("")
        self.route: Route | None = None
        self.fatal: Mapping[str, Any] | None = None
        self.ended = False
        self.left = False
        self.may_hold_session = False
        self._process = process
        self._tell = changed
        self._numbers = itertools.count(1)
        self._answers: list[PendingAnswer] = []
        self._reading = asyncio.create_task(self._read(), name="read the chat runner")

    @property
    def stage(self) -> str:
        """How far the runner is; empty until it has told."""
        return self.now.stage

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._answers)

    @property
    def settled(self) -> bool:
        """Whether a question is answered now, be it with what keeps the runner from answering.

        With blocks missing it looks again when it is asked.
        """
        incomplete = self.route is not None and not self.route.complete
        return self.stage == "ready" or incomplete or self.ended or self.fatal is not None

    def expect(self, answer: PendingAnswer) -> None:
        """Hand this answer the messages that concern it from now on."""
        answer.connection = self
        self._answers.append(answer)

    def forget(self, answer: PendingAnswer) -> None:
        """Nobody waits for this answer any more."""
        self._answers.remove(answer)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Write a message. Raises TorbizError (`runner_died`, `timeout`)."""
        if self.ended:
            raise runner_ended()
        await self._process.send(message)

    async def ask(self, answer: PendingAnswer, request: Mapping[str, Any]) -> None:
        """Send the question of this answer. Raises as `send` does."""
        answer.sent_as = f"q{next(self._numbers)}"
        self.may_hold_session = True
        await self.send({**request, "id": answer.sent_as})

    async def how_it_ended(self) -> ExitReport | None:
        """How the runner ended; None when it lives and only the connection was lost."""
        return await self._process.wait()

    async def leave(self) -> None:
        """Let go of the runner; answers that are waited for end."""
        self.left = True
        await self._process.close()
        await self._read_to_end()

    async def end(self, grace_s: float) -> None:
        """End the runner, for everybody."""
        await self._process.stop(grace_s)
        await self._read_to_end()

    async def _read_to_end(self) -> None:
        await asyncio.wait([self._reading], timeout=_ENDED_S)
        self._reading.cancel()

    async def _read(self) -> None:
        try:
            async for message in self._process.messages():
                self._take(message)
        finally:
            self.ended = True
            self.now, self.route = StageChanged(""), None
            for answer in self._answers:
                answer.put(None)
                answer.ended.set()
            self._tell(self, StageChanged(""))

    def _take(self, message: Mapping[str, Any]) -> None:
        event = read_event(message)
        if isinstance(event, StageChanged | RouteChanged):
            self._changed(event)
            for answer in self._answers:
                answer.put(message)
            return
        identity = message.get("id")
        if message["type"] == "error" and identity is None:
            if message.get("fatal"):
                self.fatal = message
                for answer in self._answers:
                    answer.put(None)
            return
        for answer in self._answers:
            if answer.sent_as and answer.sent_as == identity:
                answer.put(message)

    def _changed(self, change: Change) -> None:
        if isinstance(change, RouteChanged):
            self.route = change.route
        else:
            if not self.stage and change.stage == "ready":
                # Another program may have asked a runner that was ready before we came.
                self.may_hold_session = True
            self.now = change
        self._tell(self, change)


def connection_lost() -> TorbizError:
    """The error for a runner that lives on, but talks with us no longer."""
    return TorbizError(
        "The connection to the chat runner was lost.",
        remedy="What has come is kept; the next question connects again.",
        code="runner_died",
    )


def runner_died(report: ExitReport) -> TorbizError:
    """The error for a runner that ended by itself, with what is known of its last lines."""
    error = TorbizError(
        "The chat runner has died.",
        why=report.sentence(),
        remedy="What has come is kept; the next question starts a new one.",
        code="runner_died",
        details=report.last_lines[-4:],
    )
    said = (*report.last_lines, report.sentence())
    return with_known(error, said, Place.CHAT, Severity.ERROR)
