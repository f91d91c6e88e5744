"""What comes of an answer, folded into the turn that is stored."""

from __future__ import annotations

from dataclasses import replace

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.conversations import Turn
from torbiz_tui.inference.events import (
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    Recovered,
    Route,
    TokenReceived,
)


class Received:
    """What has come of an answer so far."""

    def __init__(self, answer: Turn) -> None:
        self.answer = answer
        self.done: AnswerDone | None = None
        self._pieces: list[str] = []
        self._started: AnswerStarted | None = None
        self._route: Route | None = None

    def take(self, event: ChatEvent) -> None:
        """Take in the next event."""
        if isinstance(event, TokenReceived):
            self._pieces.append(event.text)
        elif isinstance(event, AnswerStarted):
            self._started, self._route = event, event.route
        elif isinstance(event, Recovered):
            self._route = event.route
        elif isinstance(event, AnswerDone):
            self.done = event

    def ended(self) -> Turn:
        """The answer as its end describes it."""
        assert self.done is not None
        done = self.done
        return replace(
            self._so_far(),
            finish_reason=done.finish_reason,
            prompt_tokens=done.prompt_tokens,
            reused_tokens=done.reused_tokens,
            completion_tokens=done.completion_tokens,
            first_token_s=done.first_token_s,
            tokens_per_s=done.tokens_per_s,
            route=done.route or self._route,
        )

    def broken(self, error: BaseException) -> Turn:
        """The answer that failed with an error, or that nobody wants to receive any more."""
        if isinstance(error, TorbizError):
            # What to do next is true now, and not when the conversation is read again.
            note = " ".join(part for part in (error.what, error.why) if part)
            return replace(self._so_far(), state="failed", note=note)
        if isinstance(error, Exception):
            return replace(self._so_far(), state="failed", note=f"{type(error).__name__}: {error}")
        return replace(self._so_far(), finish_reason="cancelled")

    def _so_far(self) -> Turn:
        started = self._started
        return replace(
            self.answer,
            content="".join(self._pieces),
            state="complete",
            prompt_tokens=started.prompt_tokens if started else 0,
            reused_tokens=started.reused_tokens if started else 0,
            dropped_messages=started.dropped_messages if started else 0,
            route=self._route,
        )
