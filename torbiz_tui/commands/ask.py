"""`ask`: one question, its answer streamed to stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from torbiz_tui.assembly import Services
from torbiz_tui.commands.answer_output import JsonOutput, TextOutput
from torbiz_tui.commands.asking import agreed_to_pickled
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.hosted_model import configured_or_hosted
from torbiz_tui.commands.output import PROGRAM, OutputClosedError, tell
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.inference.events import ChatEvent, GenerateOptions, Message
from torbiz_tui.inference.runner_command import no_model

if TYPE_CHECKING:
    from torbiz_tui.inference.chat import Chat
    from torbiz_tui.inference.conversations import Conversation

_MAX_PROMPT_BYTES = 1_000_000
_OPTIONS = ("max_new_tokens", "temperature", "top_p", "seed", "stop", "adapter")


def run(call: Call) -> int:
    """Ask, and print the answer as it comes."""
    prompt = question(call.options.prompt)

    async def ask(services: Services) -> int:
        return await _Asking(services, vars(call.options), prompt).receive()

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


class _Asking:
    """One question: the conversation that it belongs to, and its answer."""

    def __init__(self, services: Services, given: dict[str, Any], prompt: str) -> None:
        self._services = services
        self._given = given
        self._prompt = prompt
        self._output = JsonOutput(prompt) if given["json"] else TextOutput()
        self._chat: Chat | None = None

    async def receive(self) -> int:
        """Receive and print all of it; what has come is printed also when the rest does not."""
        output = self._output
        try:
            events = await self._events()
            if self._given["allow_pickled"]:
                await self._services.inference.allow_pickled()
            try:
                await self._print(events)
            except TorbizError as error:
                await agreed_to_pickled(error, otherwise="Nothing was asked.")
                await self._services.inference.allow_pickled()
                await self._print(self._question())
        except TorbizError as error:
            with suppress(OutputClosedError):
                output.fail(error, self._conversation_id)
            raise
        except asyncio.CancelledError:
            with suppress(OutputClosedError):
                output.finish("cancelled", self._conversation_id)
            raise
        output.finish("error", self._conversation_id)
        await self._remember_swarm()
        return ExitCode.OK

    async def _print(self, events: AsyncGenerator[object, None]) -> None:
        self._output.model = self._services.inference.model
        async with aclosing(events):
            async for event in events:
                self._take(event)

    async def _remember_swarm(self) -> None:
        """Keep in mind the private swarm that has answered; that it cannot be is no failure."""
        inference = self._services.inference
        try:
            await self._services.asked_swarms.answered(inference.model, local=inference.local)
        except TorbizError as error:
            tell(f"{PROGRAM}: The swarm is not remembered: {error}")

    @property
    def _conversation_id(self) -> int | None:
        """The conversation in the history; None when it is not kept."""
        stored = self._chat.conversation.id if self._chat is not None else 0
        return stored if stored > 0 else None

    def _take(self, event: object) -> None:
        from torbiz_tui.inference.chat import StoreFailed, TurnsChanged

        if isinstance(event, StoreFailed):
            tell(f"{PROGRAM}: This conversation is not kept now: {event.error}")
        elif not isinstance(event, TurnsChanged):
            self._output.take(cast("ChatEvent", event))

    @property
    def _options(self) -> GenerateOptions:
        ask = self._services.config.ask
        return GenerateOptions(
            ask.max_new_tokens, ask.temperature, ask.top_p, ask.seed, ask.stop, ask.adapter
        )

    async def _events(self) -> AsyncGenerator[object, None]:
        ask = self._services.config.ask
        if not self._given["keep"]:
            self._choose(await configured_or_hosted(self._services), adapter=ask.adapter)
            return self._question()
        from torbiz_tui.inference.chat import Chat
        from torbiz_tui.inference.conversations import Conversation

        inference, history = self._services.inference, self._services.history
        if self._given["go_on"]:
            chat = Chat(inference, history, await self._latest())
            await self._go_on(chat)
        else:
            self._choose(await configured_or_hosted(self._services), adapter=ask.adapter)
            new = Conversation(
                0,
                "",
                inference.model,
                system_prompt=ask.system_prompt,
                options=self._options,
                local=inference.local,
            )
            chat = Chat(inference, history, new)
        self._chat = chat
        return self._question()

    def _question(self) -> AsyncGenerator[object, None]:
        if self._chat is not None:
            return _generator(self._chat.send(self._prompt))
        messages = [Message("user", self._prompt)]
        if system := self._services.config.ask.system_prompt:
            messages.insert(0, Message("system", system))
        return _generator(self._services.inference.ask(messages, self._options))

    def _choose(self, model: str, *, adapter: str, local: bool | None = None) -> None:
        """Ask this model, in the revision that is named on the command line, if one is."""
        if not model:
            raise no_model()
        revision = self._given.get("ask.revision", "")
        self._services.inference.choose(model, local=local, revision=revision, adapter=adapter)

    async def _latest(self) -> Conversation:
        found = await self._services.history.latest()
        if found is None:
            raise UsageError(
                "There is no conversation to go on with.",
                remedy="Ask without --continue to begin one.",
                code="no_conversation",
            )
        return found

    async def _go_on(self, chat: Chat) -> None:
        """Ask as the conversation does, but for what the options say."""
        now, ask, given = chat.conversation, self._services.config.ask, self._given
        model = self._services.inference.model if "model" in given else now.model
        inference = self._services.inference
        local = inference.local if "ask.local" in given else now.local
        changes = {name: getattr(ask, name) for name in _OPTIONS if f"ask.{name}" in given}
        system = ask.system_prompt if "ask.system_prompt" in given else now.system_prompt
        if model != now.model and "adapter" not in changes:
            changes["adapter"] = ask.adapter
        options = replace(now.options, **changes)
        self._choose(model or inference.model, local=local, adapter=options.adapter)
        before = (now.model, now.system_prompt, now.options, now.local)
        if (model, system, options, local) != before:
            await chat.change(model=model, system_prompt=system, options=options, local=local)


def _generator(events: AsyncIterator[Any]) -> AsyncGenerator[object, None]:
    return cast("AsyncGenerator[object, None]", events)
