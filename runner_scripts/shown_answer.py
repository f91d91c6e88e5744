"""What of an answer the person has seen."""

from __future__ import annotations

import time
from typing import Any

from chat_answer import Answer
from token_stream import TextAssembler


class ShownAnswer:
    """Counts an answer's tokens, and delivers their text."""

    def __init__(self, answer: Answer, assembler: TextAssembler) -> None:
        self._answer = answer
        self._assembler = assembler
        self._lost = False
        self._pieces: list[str] = []

    def add_token(self, token: int) -> None:
        """Take the next token."""
        now = time.monotonic()
        if self._answer.first_token_at is None:
            self._answer.first_token_at = now
        self._answer.last_token_at = now
        self._answer.tokens.append(token)
        self.deliver(self._assembler.add(token))

    def deliver(self, text: str) -> None:
        """Deliver text that was held back."""
        if text and self._answer.deliver(text):
            self._pieces.append(text)
        elif text:
            self._lost = True

    def finish(self) -> None:
        """Deliver what was held back for a stop text that did not come."""
        if not self._assembler.stopped:
            self.deliver(self._assembler.finish())

    def finish_reason(self, stop_ids: list[int], limit: int) -> str:
        """Return why there is no further token, as the protocol has it."""
        tokens = self._answer.tokens
        if self._assembler.stopped or (tokens and tokens[-1] in stop_ids):
            return "stop"
        return "length" if len(tokens) >= limit else "cancelled"

    def should_stop(self, *_arguments: Any, **_named: Any) -> bool:
        """Tell whether no further token is wanted."""
        return self._answer.cancelled.is_set() or self._assembler.stopped

    @property
    def tokens(self) -> list[int]:
        """The answer's tokens so far."""
        return self._answer.tokens

    @property
    def text(self) -> str:
        """What was delivered."""
        return "".join(self._pieces)

    @property
    def withheld(self) -> bool:
        """Whether the person has seen something else than what the tokens say."""
        return self._lost or self._assembler.stopped or not self._assembler.is_complete
