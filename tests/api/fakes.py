"""A chat service that answers as a test says, several questions at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import cast

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    GenerateOptions,
    Message,
    Route,
    RouteChanged,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.inference.service import InferenceService

ROUTE = Route(8)
DONE = AnswerDone("stop", 14, 10, 3, 0.1, 20.0)
Step = ChatEvent | Exception | None
"""An event of an answer, an error in place of its end, or None: wait until the test goes on."""


def said(text: str, done: AnswerDone = DONE) -> list[Step]:
    """An answer in pieces of a word each."""
    pieces = [TokenReceived(f"{word} ") for word in text.split()]
    return [StageChanged("ready"), AnswerStarted(14, 10, 0, ROUTE), *pieces, done]


class FakeService:
    """Plays `steps` for each question; `go_on` ends the waiting of a None among them."""

    def __init__(self) -> None:
        self.model = "torbiz-demo"
        self.local = False
        self.revision = ""
        self.steps: Sequence[Step] = said("Petals is a swarm.")
        self.asked: list[tuple[Message, ...]] = []
        self.prompts: list[str] = []
        self.options: list[GenerateOptions] = []
        self.conversations: list[str] = []
        self.running = 0
        self.most_running = 0
        self.go_on = asyncio.Event()
        self._waiting: asyncio.Queue[None] = asyncio.Queue()
        self.cancelled = asyncio.Event()
        self.warm_error: Exception | None = None
        self.refusal: TorbizError | None = None
        self._broadcast: Broadcast[StageChanged | RouteChanged] = Broadcast()

    def typed(self) -> InferenceService:
        return cast("InferenceService", self)

    async def wait_waiting(self) -> None:
        """Return when one more answer waits."""
        async with asyncio.timeout(10):
            await self._waiting.get()

    def choose(
        self,
        model: str,
        *,
        local: bool | None = None,
        revision: str = "",
        adapter: str | None = None,
    ) -> None:
        self.model, self.revision, self.adapter = model, revision, adapter

    def subscribe(self) -> AbstractContextManager[Subscription[StageChanged | RouteChanged]]:
        return self._broadcast.subscribe()

    async def warm(self) -> None:
        if self.warm_error is not None:
            raise self.warm_error
        self._broadcast.publish(StageChanged("connecting"))
        self._broadcast.publish(StageChanged("ready"))

    def ask(
        self, messages: Sequence[Message], options: GenerateOptions, *, conversation: str = ""
    ) -> AsyncIterator[ChatEvent]:
        self.asked.append(tuple(messages))
        self.conversations.append(conversation)
        return self._play(options)

    def complete(self, prompt: str, options: GenerateOptions) -> AsyncIterator[ChatEvent]:
        self.prompts.append(prompt)
        return self._play(options)

    async def close(self) -> None:
        return None

    async def _play(self, options: GenerateOptions) -> AsyncIterator[ChatEvent]:
        self.options.append(options)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    self._waiting.put_nowait(None)
                    await self.go_on.wait()
                else:
                    yield step
                    await asyncio.sleep(0)
        except (asyncio.CancelledError, GeneratorExit):
            # The real service tells the runner here; a cancel must not cut that short.
            await asyncio.sleep(0)
            self.cancelled.set()
            raise
        finally:
            self.running -= 1
