"""The chat service: one warm runner, questions to it, answers from it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.catalogue import ModelInfo, resolve_model
from torbiz_tui.config import Config
from torbiz_tui.environments.base import EnvironmentDriver, RunnerCommand, RunnerProcess
from torbiz_tui.errors import NotServedError, TorbizError, UsageError
from torbiz_tui.inference.events import (
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths

_CANCEL_GRACE_S = 5.0
_STOP_GRACE_S = 5.0

SwarmPeers = tuple[str, ...] | None
FindPeers = Callable[[ModelInfo], Awaitable[SwarmPeers]]
"""Answers with the initial peers of the swarm that serves the model; None is the public swarm.

Raises NotServedError when there is no swarm to ask.
"""


class _Answer:
    """The messages of one answer; `ended` once the last of them has come from the runner."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.ended = asyncio.Event()

    def put(self, message: dict[str, Any] | None) -> None:
        """Take a message; None says that the runner has ended."""
        self.messages.put_nowait(message)
        if message is None or message["type"] in ("done", "error"):
            self.ended.set()


class _Runner:
    """A running chat runner and the messages that wait to be read."""

    def __init__(self, process: RunnerProcess, key: tuple[str, SwarmPeers]) -> None:
        self.process = process
        self.key = key
        self.stage = "importing"
        self.ready = asyncio.Event()
        self.fatal: dict[str, Any] | None = None
        self.answers: dict[str, _Answer] = {}
        self.reading: asyncio.Task[None] | None = None
        self.ended = False
        self.has_answered = False


@dataclass(frozen=True)
class _Wanted:
    """What a runner is started for."""

    model: ModelInfo
    peers: SwarmPeers

    @property
    def key(self) -> tuple[str, SwarmPeers]:
        return self.model.source, self.peers


class InferenceService:
    """Starts the runner when it is needed, keeps it warm, and replaces one that has died."""

    def __init__(
        self, driver: EnvironmentDriver, paths: Paths, config: Config, find_peers: FindPeers
    ) -> None:
        self._driver = driver
        self._paths = paths
        self._config = config
        self._find_peers = find_peers
        self._model = config.model
        self._resolved: dict[str, ModelInfo] = {}
        self._runner: _Runner | None = None
        self._starting = asyncio.Lock()
        self._current: str | None = None
        self._cancel_early = False
        self._numbers = itertools.count(1)
        self._broadcast: Broadcast[StageChanged] = Broadcast()

    @property
    def model(self) -> str:
        """The model that is asked; empty when none is configured."""
        return self._model

    def choose(self, model: str) -> None:
        """Ask another model from now on."""
        self._model = model

    @property
    def stage(self) -> str:
        """How far the runner is; empty when none runs."""
        return "" if self._runner is None else self._runner.stage

    @property
    def idle_session(self) -> bool:
        """Whether the runner may hold a session open with the swarm while it answers nothing."""
        return self._runner is not None and self._runner.has_answered and self._current is None

    def subscribe(self) -> AbstractContextManager[Subscription[StageChanged]]:
        """Listen to the runner's stages."""
        return self._broadcast.subscribe()

    async def warm(self) -> None:
        """Start the runner if none runs for this model and swarm.

        Raises NotServedError when there is no swarm to ask, TorbizError when it cannot start.
        """
        await self._ensure_runner()

    async def ask(
        self, messages: Sequence[Message], options: GenerateOptions
    ) -> AsyncIterator[ChatEvent]:
        """Answer the last of `messages`: stages while the runner warms up, tokens, the end.

        Raises NotServedError when blocks are not served, TorbizError for every other failure. A
        caller that stops iterating cancels the answer.
        """
        self._cancel_early = False
        runner = await self._ensure_runner()
        async for stage in self._until_ready(runner):
            yield stage
        if self._cancel_early:
            yield AnswerDone("cancelled", 0, 0, 0, 0.0, 0.0)
            return
        request = f"q{next(self._numbers)}"
        answer = runner.answers[request] = _Answer()
        self._current = request
        done = False
        try:
            if runner.ended:
                raise _ended()
            await runner.process.send(_generate(request, messages, options))
            while True:
                message = await self._next(answer)
                if message["type"] == "token":
                    yield TokenReceived(sanitize_text(str(message.get("text", ""))))
                elif message["type"] == "done":
                    done = runner.has_answered = True
                    yield _answer_done(message)
                    return
                else:
                    done = True
                    _raise_error(message, self._model)
        except TorbizError as error:
            if error.code == "runner_died":
                await self._died(runner)
            raise
        finally:
            runner.answers.pop(request, None)
            if self._current == request:
                self._current = None
            if not done and not runner.ended:
                with contextlib.suppress(TorbizError):
                    await runner.process.send({"type": "cancel", "id": request})

    async def cancel(self) -> None:
        """Stop the running answer; it ends with `AnswerDone`.

        A runner that does not react within 5 s is ended, and the answer with it.
        """
        runner, request = self._runner, self._current
        if runner is None:
            return
        if request is None:
            self._cancel_early = True
            self._broadcast.publish(StageChanged(runner.stage))
            return
        answer = runner.answers[request]
        with contextlib.suppress(TorbizError):
            await runner.process.send({"type": "cancel", "id": request})
        try:
            async with asyncio.timeout(_CANCEL_GRACE_S):
                await answer.ended.wait()
        except TimeoutError:
            logger("inference").warning("the runner does not react to a cancel: ending it")
            await runner.process.stop(grace_s=0.5)

    async def close(self) -> None:
        """End the runner."""
        async with self._starting:
            await self._end_runner()

    async def _ensure_runner(self) -> _Runner:
        async with self._starting:
            wanted = await self._wanted()
            runner = self._runner
            if runner is not None and (runner.ended or runner.key != wanted.key):
                await self._end_runner()
                runner = None
            if runner is None:
                runner = await self._start_runner(wanted)
            return runner

    async def _wanted(self) -> _Wanted:
        if not self._model:
            raise UsageError(
                "Which model should answer?",
                remedy="Name one with --model, or set `model` in the configuration.",
                code="no_model",
            )
        model = self._resolved.get(self._model)
        if model is None:
            # Once a name: a hub that does not answer must not delay the next question.
            model = self._resolved[self._model] = await resolve_model(self._model, self._paths)
        return _Wanted(model, await self._find_peers(model))

    async def _start_runner(self, wanted: _Wanted) -> _Runner:
        model = wanted.model
        arguments = ["--serve", "--model-name", model.source]
        if model.dht_prefix:
            arguments += ["--dht-prefix", model.dht_prefix]
        if model.demo:
            arguments += ["--torch-dtype", "float32"]
        for peer in wanted.peers or ():
            arguments += ["--initial-peer", peer]
        process = await self._driver.spawn(
            RunnerCommand("run_petals_inference.py", tuple(arguments))
        )
        runner = _Runner(process, wanted.key)
        runner.reading = asyncio.create_task(self._read(runner), name="read the chat runner")
        self._runner = runner
        self._broadcast.publish(StageChanged(runner.stage))
        return runner

    async def _end_runner(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await runner.process.stop(_STOP_GRACE_S)
        if runner.reading is not None:
            await asyncio.wait([runner.reading], timeout=1.0)
            runner.reading.cancel()

    async def _read(self, runner: _Runner) -> None:
        try:
            async for message in runner.process.messages():
                self._take(runner, message)
        finally:
            runner.ended = True
            runner.stage = ""
            runner.ready.set()
            for answer in runner.answers.values():
                answer.put(None)
            if self._runner is runner:
                self._broadcast.publish(StageChanged(""))

    def _take(self, runner: _Runner, message: Mapping[str, Any]) -> None:
        if message["type"] == "status":
            runner.stage = str(message.get("stage", ""))
            if runner.stage == "ready":
                runner.ready.set()
            self._broadcast.publish(StageChanged(runner.stage))
            return
        answer = runner.answers.get(str(message.get("id")))
        if answer is not None:
            answer.put(dict(message))
        elif message["type"] == "error" and message.get("id") is None:
            if message.get("fatal"):
                runner.fatal = dict(message)
            # With blocks missing the runner stays and looks again at the next question.
            runner.ready.set()
            self._broadcast.publish(StageChanged(runner.stage))

    async def _until_ready(self, runner: _Runner) -> AsyncIterator[StageChanged]:
        limit = self._config.ask.start_timeout_s
        deadline = asyncio.get_running_loop().time() + limit
        with self.subscribe() as changes:
            stages = aiter(changes)
            if not runner.ready.is_set():
                yield StageChanged(runner.stage)
            while not runner.ready.is_set() and not self._cancel_early:
                try:
                    # The time-out must not span a yield: it would interrupt who iterates.
                    async with asyncio.timeout_at(deadline):
                        await anext(stages)
                except TimeoutError:
                    stage = runner.stage
                    await self._end_runner()
                    raise TorbizError(
                        f"The chat runner is not ready after {limit:.0f} s (it hangs in: {stage}).",
                        remedy="Ask again; its log (petals_inference.log) has the details.",
                        code="timeout",
                    ) from None
                if runner.stage and not runner.ended:
                    yield StageChanged(runner.stage)
        if runner.fatal is not None:
            await self._end_runner()
            _raise_error(runner.fatal, self._model)

    async def _next(self, answer: _Answer) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._config.ask.idle_timeout_s):
                message = await answer.messages.get()
        except TimeoutError:
            raise TorbizError(
                f"No further word came for {self._config.ask.idle_timeout_s:.0f} s.",
                why="The servers of the swarm may be overloaded or gone.",
                remedy="Ask again.",
                code="timeout",
            ) from None
        if message is None:
            raise _ended()
        return message

    async def _died(self, runner: _Runner) -> NoReturn:
        report = await runner.process.wait()
        if self._runner is runner:
            self._runner = None
        logger("inference").error("the chat runner died: %s", report)
        raise TorbizError(
            "The chat runner has died.",
            why=report.sentence(),
            remedy="What has come is kept; the next question starts a new one.",
            code="runner_died",
            details=report.last_lines[-4:],
        )


def _ended() -> TorbizError:
    return TorbizError("The runner has ended.", code="runner_died")


def _generate(
    request: str, messages: Sequence[Message], options: GenerateOptions
) -> dict[str, Any]:
    return {
        "type": "generate",
        "id": request,
        "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
        "max_new_tokens": options.max_new_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
    }


def _answer_done(message: Mapping[str, Any]) -> AnswerDone:
    usage, timing = message.get("usage") or {}, message.get("timing") or {}
    return AnswerDone(
        finish_reason=message.get("finish_reason", "stop"),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        reused_tokens=int(usage.get("reused_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        first_token_s=float(timing.get("first_token_s") or 0.0),
        tokens_per_s=float(timing.get("tokens_per_s") or 0.0),
    )


_REMEDIES = {
    "connection_failed": "Ask again; if it stays so, see on the Share screen whether it is served.",
    "context_full": "Start a new conversation.",
    "timeout": "Ask again.",
    "busy": "Wait for the running answer, then ask again.",
    "model_not_found": "Check the model's name.",
    "unsupported_model": "Choose a model of a type that Petals serves.",
}


def _raise_error(message: Mapping[str, Any], model: str) -> NoReturn:
    code = str(message.get("code", "internal"))
    what = sanitize_line(str(message.get("message") or "The chat runner reported an error."))
    if code == "missing_blocks":
        raise not_served(model, what)
    raise TorbizError(what, remedy=_REMEDIES.get(code, "Ask again."), code=code)


def not_served(model: str, why: str) -> NotServedError:
    """The error for a model, or blocks of it, that nobody serves."""
    return NotServedError(
        f"Nobody serves {model} now.",
        why=why,
        remedy=f"Share it from this machine (F2, or `torbiz-tui share {model}`), or wait.",
        code="missing_blocks",
    )
