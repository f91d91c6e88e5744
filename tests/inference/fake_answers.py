"""A chat service that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    FinishReason,
    GenerateOptions,
    Hop,
    Message,
    Route,
    TokenReceived,
)

ROUTE = Route(8, (Hop(0, 4, "QmAAAAAA", "alice"), Hop(4, 8, "QmBBBBBB")))

Step = str | TorbizError | asyncio.Event | ChatEvent


def done(reason: FinishReason = "stop", tokens: int = 3) -> AnswerDone:
    """The end of an answer."""
    return AnswerDone(reason, 12, 5, tokens, 0.25, 8.5, ROUTE)


class FakeAnswers:
    """Answers with its script: texts are pieces, errors are raised, events are waited for."""

    def __init__(self, *script: Step, model: str = "demo") -> None:
        self.model = model
        self.script: tuple[Step, ...] = script
        self.asked: list[list[tuple[str, str]]] = []
        self.options: list[GenerateOptions] = []
        self.conversations: list[str] = []
        self.closed = 0
        self._cancelled = asyncio.Event()

    async def ask(
        self, messages: Sequence[Message], options: GenerateOptions, *, conversation: str = ""
    ) -> AsyncGenerator[ChatEvent, None]:
        """Follow the script."""
        self.asked.append([(message.role, message.content) for message in messages])
        self.options.append(options)
        self.conversations.append(conversation)
        self._cancelled.clear()
        try:
            yield AnswerStarted(12, 5, 0, ROUTE)
            for step in self.script:
                if isinstance(step, TorbizError):
                    raise step
                if isinstance(step, asyncio.Event):
                    await self._wait(step)
                    if self._cancelled.is_set():
                        yield done("cancelled")
                        return
                elif isinstance(step, str):
                    yield TokenReceived(step)
                else:
                    yield step
            yield done()
        finally:
            self.closed += 1

    async def cancel(self, conversation: str = "") -> None:
        """End the answer at the event that it waits for."""
        self._cancelled.set()

    async def _wait(self, event: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(each.wait()) for each in (event, self._cancelled)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
