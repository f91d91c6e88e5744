"""`ask`: one question, its answer streamed to stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import cast

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import OutputClosedError, someone_watches, tell, write, write_json
from torbiz_tui.config import Config
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.inference.events import (
    STAGE_TITLES,
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    StageChanged,
    TokenReceived,
)

_MAX_PROMPT_BYTES = 1_000_000


def run(call: Call) -> int:
    """Ask, and print the answer as it comes."""
    prompt = question(call.options.prompt)

    async def ask(services: Services) -> int:
        answer = _Answer(services, prompt, as_json=call.options.json)
        return await answer.receive()

    return call.run(ask)


def question(words: list[str]) -> str:
    """The prompt from the arguments, or from stdin for `-` or none. Raises UsageError."""
    if words and words != ["-"]:
        prompt = " ".join(words)
    elif not words and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError(
            "What is the question?",
            remedy='Give it as an argument (torbiz-tui ask "What is Petals?") or pipe it in.',
            code="no_prompt",
        )
    else:
        prompt = _from_stdin()
    if not prompt.strip():
        raise UsageError("The question is empty.", code="no_prompt")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("The question is not UTF-8 text.", code="bad_prompt") from None
    return prompt


def _from_stdin() -> str:
    if sys.stdin is None:
        raise UsageError("The question is empty: there is no standard input.", code="no_prompt")
    data = sys.stdin.buffer.read(_MAX_PROMPT_BYTES + 1)
    if len(data) > _MAX_PROMPT_BYTES:
        raise UsageError("The question is longer than 1 MB.", code="bad_prompt")
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError("The question is not UTF-8 text.", code="bad_prompt") from None


class _Answer:
    """The answer as far as it has come, and how it is printed."""

    def __init__(self, services: Services, prompt: str, *, as_json: bool) -> None:
        self._inference = services.inference
        self._config: Config = services.config
        self._prompt = prompt
        self._as_json = as_json
        self._pieces: list[str] = []
        self._done: AnswerDone | None = None
        self._stage = ""

    async def receive(self) -> int:
        """Receive and print all of it; what has come is printed also when the rest does not."""
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    self._take(event)
        except (TorbizError, asyncio.CancelledError) as error:
            with suppress(OutputClosedError):
                self._finish("cancelled" if isinstance(error, asyncio.CancelledError) else "error")
            raise
        self._finish(self._done.finish_reason if self._done is not None else "error")
        return ExitCode.OK

    def _events(self) -> AsyncGenerator[ChatEvent, None]:
        ask = self._config.ask
        messages = [Message("user", self._prompt)]
        if ask.system_prompt:
            messages.insert(0, Message("system", ask.system_prompt))
        options = GenerateOptions(ask.max_new_tokens, ask.temperature, ask.top_p, ask.seed)
        return cast("AsyncGenerator[ChatEvent, None]", self._inference.ask(messages, options))

    def _take(self, event: ChatEvent) -> None:
        if isinstance(event, TokenReceived):
            self._pieces.append(event.text)
            if not self._as_json:
                write(event.text)
        elif isinstance(event, AnswerDone):
            self._done = event
        elif isinstance(event, StageChanged) and event.stage != self._stage and someone_watches():
            self._stage = event.stage
            tell(f"{STAGE_TITLES.get(event.stage, event.stage)} …")

    def _finish(self, reason: str) -> None:
        answer = "".join(self._pieces)
        if self._as_json:
            if self._done is not None or answer:
                write_json(self._object(answer, reason))
            return
        if answer and not answer.endswith("\n"):
            write("\n")
        if reason == "length" and someone_watches():
            tell(
                f"The answer was cut after {self._config.ask.max_new_tokens} tokens (--max-tokens)."
            )

    def _object(self, answer: str, reason: str) -> dict[str, object]:
        done = asdict(self._done) if self._done is not None else {}
        return {
            "model": self._inference.model,
            "prompt": self._prompt,
            "answer": answer,
            "finish_reason": reason,
            "usage": {
                name: done.get(name)
                for name in ("prompt_tokens", "reused_tokens", "completion_tokens")
            },
            "timing": {name: done.get(name) for name in ("first_token_s", "tokens_per_s")},
        }
