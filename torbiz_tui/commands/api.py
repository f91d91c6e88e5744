"""`api`: OpenAI's HTTP interface for other programs, until it is interrupted."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torbiz_tui.api.listening import base_url, is_loopback, listen
from torbiz_tui.assembly import Services
from torbiz_tui.broadcast import Subscription
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.hosted_model import hosted_model
from torbiz_tui.commands.output import tell, tell_error
from torbiz_tui.commands.running import heeded
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.inference.events import RouteChanged, StageChanged
from torbiz_tui.pickled_weights import PICKLED

if TYPE_CHECKING:
    from torbiz_tui.api.key import ApiKey
    from torbiz_tui.inference.service import InferenceService

# Why no runner of this model gets ready, however often one is started.
_FINAL = {
    "index_unusable",
    "model_forbidden",
    "model_gated",
    "model_not_found",
    "no_weights",
    "pickled_code",
    PICKLED,
    "revision_not_found",
    "token_invalid",
    "token_missing",
    "unsupported_model",
}
_LISTENING = "It goes on listening, and tries again with the next request."
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(call: Call) -> int:
    """Listen, warm the runner, answer requests; the exit code is that of the signal that ends it."""
    config = call.loaded.config.api
    sockets = listen(config.host, config.port)
    try:
        return call.run(partial(_serve, sockets, vars(call.options)))
    finally:
        for listening in sockets:
            listening.close()


async def _serve(
    sockets: Sequence[socket.socket], given: Mapping[str, Any], services: Services
) -> int:
    from torbiz_tui.api.app import Api
    from torbiz_tui.api.key import find_key
    from torbiz_tui.api.requests import ServedModel
    from torbiz_tui.api.serving import serve

    loopback = is_loopback(sockets)
    key = find_key(services.paths, os.environ, needed=not loopback)
    inference = services.inference
    await _choose_model(services, given.get("ask.revision", ""), given.get("ask.adapter"))
    model = ServedModel(_public_name(inference.model), inference.model)
    api = Api(
        inference,
        model,
        services.config.ask,
        key=key,
        loopback=loopback,
        swarms=services.asked_swarms,
    )
    url = base_url(services.config.api.host, sockets)
    for line in _introduction(url, model.name, key, loopback=loopback):
        tell(line)
    ended_by: list[int] = []
    end, hurry = asyncio.Event(), asyncio.Event()

    def take(number: int) -> None:
        (hurry if ended_by else end).set()
        if not ended_by and api.answers.count:
            tell("Ending; running answers have 5 s. Ctrl-C again ends at once.")
        ended_by.append(number)

    for number in heeded(*_SIGNALS):
        asyncio.get_running_loop().add_signal_handler(number, take, number)
    allow_pickled = given["allow_pickled"]
    async with _warming(inference, end.set, allow_pickled=allow_pickled) as warming:
        await serve(api, sockets, end, hurry)
    if ended_by:
        # The shell's convention for a process that a signal ended.
        return 128 + ended_by[0]
    # Nobody can ever be answered, for a reason that only another call mends.
    if warming.done() and not warming.cancelled():
        warming.result()
    if inference.refusal is not None:
        raise inference.refusal
    return ExitCode.FAILED


async def _choose_model(services: Services, revision: str, adapter: str | None) -> None:
    """Without a configured model, that which this machine hosts. Raises UsageError for none.

    `revision` and `adapter` are those that the command line names, for whichever it is.
    """
    inference = services.inference
    if inference.model:
        inference.choose(inference.model, revision=revision, adapter=adapter)
        return
    hosted = hosted_model(await services.sharing.attach())
    if not hosted:
        raise UsageError(
            "Which model should answer?",
            remedy="Name one with --model, or set `model` in the configuration.",
            code="no_model",
        )
    inference.choose(hosted, revision=revision, adapter=adapter)


def _public_name(model: str) -> str:
    """The model's name for clients, who need not know where a folder lies."""
    folder = Path(model).expanduser()
    return folder.resolve().name if (folder / "config.json").is_file() else model


def _introduction(url: str, model: str, key: ApiKey | None, *, loopback: bool) -> list[str]:
    lines = [f"Serving {model} at {url}"]
    if key is None:
        value = "none"
        lines.append("No key is needed: only this machine reaches it.")
    else:
        file = shlex.quote(str(key.file))
        value = f'"$(cat {file})"' if key.file else f'"${key.place}"'
        lines.append(f"A key is needed, that in {key.place}.")
    if not loopback:
        lines.append("The network sees what is asked and answered, and the key: it is plain HTTP.")
    lines += [
        "For a program that uses OpenAI's client:",
        f"  export OPENAI_BASE_URL={url} OPENAI_API_KEY={value}",
    ]
    if key is None:
        question = (
            '{"model": "default", "messages": [{"role": "user", "content": "What is Petals?"}]}'
        )
        lines += [
            "By hand:",
            f"  curl {url}/chat/completions -H 'Content-Type: application/json' -d '{question}'",
        ]
    return [*lines, "Ctrl-C ends it."]


@asynccontextmanager
async def _warming(
    inference: InferenceService, give_up: Callable[[], None], *, allow_pickled: bool
) -> AsyncIterator[asyncio.Task[None]]:
    """Start the runner and tell how far it is; `give_up` is called where it can never start."""

    async def warm() -> None:
        try:
            if allow_pickled:
                await inference.allow_pickled()
            await inference.warm()
        except TorbizError as error:
            if isinstance(error, UsageError):
                give_up()
                raise
            tell_error(error)
            tell(_LISTENING)
        except Exception:
            give_up()
            raise

    with inference.subscribe() as changes:
        telling = asyncio.create_task(_tell(changes, inference, give_up), name="tell of the runner")
        warming = asyncio.create_task(warm(), name="warm the runner")
        try:
            yield warming
        finally:
            telling.cancel()
            warming.cancel()
            await asyncio.wait([telling, warming])


async def _tell(
    changes: Subscription[StageChanged | RouteChanged],
    inference: InferenceService,
    give_up: Callable[[], None],
) -> None:
    stage, complete = "", True
    async for change in changes:
        refusal = inference.refusal
        if refusal is not None and refusal.code in _FINAL:
            give_up()
        elif refusal is not None and isinstance(change, StageChanged) and not change.stage:
            tell_error(refusal)
            tell(_LISTENING)
            stage = ""
        elif isinstance(change, StageChanged):
            if change.stage and change.stage != stage:
                stage = change.stage
                tell(f"{change.text}{'.' if stage == 'ready' else ' …'}")
        elif change.route.complete != complete:
            complete = change.route.complete
            tell(f"The route: {change.route}.")
