"""Answers on their way from the chat service to a client, whole or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse, Response
from starlette.types import Message as ASGIMessage
from starlette.types import Receive, Scope, Send

from torbiz_tui.api.refusals import RefusedError, error_object, refusal
from torbiz_tui.api.requests import Asked
from torbiz_tui.api.responses import END_OF_STREAM, KEEP_ALIVE, Reply, event
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import AnswerDone, ChatEvent, TokenReceived
from torbiz_tui.logs.writing import logger

if TYPE_CHECKING:
    from torbiz_tui.inference.service import InferenceService
    from torbiz_tui.private_swarms.remembering import AskedSwarms

KEEP_ALIVE_S = 5.0
"""So long nothing may come before a stream says that it is still there."""
_CLOSE_LIMIT_S = 5.0
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Proxies that collect a response before they pass it on are asked not to.
    (b"x-accel-buffering", b"no"),
]


class Answer:
    """The events of one answer, read by a task of its own, so that waiting for one can end."""

    def __init__(self, events: AsyncIterator[ChatEvent]) -> None:
        self._events: asyncio.Queue[ChatEvent | Exception] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(events), name="read an answer")
        self._cancelled = False
        self._done = False

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._done

    async def next(self, deadline: float | None = None) -> ChatEvent | None:
        """The next event; None when there is none until `deadline` (in the loop's time).

        Raises what the service raised, and TorbizError after an answer that has no end.
        """
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._events.get()
        except TimeoutError:
            return None
        if isinstance(found, Exception):
            raise found
        if isinstance(found, AnswerDone) and found.finish_reason == "cancelled":
            raise TorbizError("The answer was stopped here.", code="cancelled")
        self._done = isinstance(found, AnswerDone)
        return found

    def break_off(self, error: TorbizError) -> None:
        """Cancel the answer; who waits for it gets the error, after what has come."""
        self._cancel()
        self._events.put_nowait(error)

    async def close(self) -> None:
        """Cancel the answer unless it is complete, and wait until the service is done with it."""
        if not self._done:
            self._cancel()
        _done, hanging = await asyncio.wait([self._reading], timeout=_CLOSE_LIMIT_S)
        if hanging:
            logger("api").warning("an answer has not ended after %.0f s", _CLOSE_LIMIT_S)
            self._reading.cancel()

    def _cancel(self) -> None:
        # A second cancel would disturb the service while it tells the runner of the first.
        if not self._cancelled:
            self._cancelled = True
            self._reading.cancel()

    async def _read(self, events: AsyncIterator[ChatEvent]) -> None:
        try:
            async with aclosing(cast("AsyncGenerator[ChatEvent, None]", events)) as reading:
                async for item in reading:
                    self._events.put_nowait(item)
            error: Exception = TorbizError("The answer broke off.", code="internal")
        except Exception as raised:  # noqa: BLE001 (who waits for the answer gets it)
            error = raised
        self._events.put_nowait(error)


class Answers:
    """All answers that are under way; the swarm that gives them is remembered."""

    def __init__(self, inference: InferenceService, swarms: AskedSwarms | None = None) -> None:
        self._inference = inference
        self._swarms = swarms
        self._open: set[Answer] = set()

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._open)

    @asynccontextmanager
    async def begin(self, asked: Asked) -> AsyncIterator[Answer]:
        """The answer to a request; it is cancelled at the end of the context."""
        if asked.messages:
            events = self._inference.ask(
                asked.messages, asked.options, conversation=asked.conversation
            )
        else:
            events = self._inference.complete(asked.prompt, asked.options)
        answer = Answer(events)
        self._open.add(answer)
        try:
            yield answer
        finally:
            self._open.discard(answer)
            await answer.close()
        if answer.complete and self._swarms is not None:
            try:
                await self._swarms.answered(self._inference.model, local=self._inference.local)
            except TorbizError as error:
                # The answer is good all the same.
                logger("api").warning("the swarm is not remembered: %s", error)

    def stop(self) -> None:
        """Break off all answers; their clients are told that the server ends."""
        ending = RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE, "The server is ending.", code="server_ending"
        )
        for answer in self._open:
            answer.break_off(ending)


class AnswerResponse(Response):
    """The response to a request: made as the answer comes, cancelled when the client leaves."""

    def __init__(self, answers: Answers, asked: Asked, reply: Reply) -> None:
        super().__init__()
        self._answers = answers
        self._asked = asked
        self._reply = reply
        self._started = False
        self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or why there is none; cancel it as soon as the client has gone."""

        async def noting(message: ASGIMessage) -> None:
            if message["type"] == "http.response.body":
                self._complete = not message.get("more_body", False)
            await send(message)

        working = asyncio.create_task(self._respond(scope, receive, noting), name="answer")
        leaving = asyncio.create_task(_disconnect(receive), name="notice that a client leaves")
        try:
            await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
            if self._complete:
                # The end of a response looks like a client that leaves.
                await asyncio.wait([working], timeout=2 * _CLOSE_LIMIT_S)
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.wait([working, leaving], timeout=2 * _CLOSE_LIMIT_S)
        if working.done() and not working.cancelled():
            working.result()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._answers.begin(self._asked) as answer:
                if self._asked.stream:
                    await self._stream(answer, send)
                else:
                    body = await self._collect(answer)
                    await JSONResponse(body)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 (the client is told, the log has the rest)
            refused = _as_refusal(error)
            if self._started:
                await self._send(send, event(error_object(refused)), last=True)
            else:
                await refusal_response(refused)(scope, receive, send)

    async def _collect(self, answer: Answer) -> dict[str, Any]:
        pieces: list[str] = []
        while True:
            item = await answer.next()
            if isinstance(item, TokenReceived):
                pieces.append(item.text)
            elif isinstance(item, AnswerDone):
                return self._reply.whole("".join(pieces), item)

    async def _stream(self, answer: Answer, send: Send) -> None:
        """The response begins with the first piece: what fails before has a status of its own.

        When that takes long it begins nevertheless, with comments that keep the connection open.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + KEEP_ALIVE_S
        while True:
            item = await answer.next(deadline)
            if isinstance(item, TokenReceived):
                data = event(self._reply.piece(item.text)) if item.text else b""
            elif isinstance(item, AnswerDone):
                chunks = self._reply.last(item)
                data = b"".join(map(event, chunks)) + END_OF_STREAM
            elif item is None:
                data = KEEP_ALIVE
            else:
                continue
            await self._start(send)
            await self._send(send, data, last=isinstance(item, AnswerDone))
            deadline = loop.time() + KEEP_ALIVE_S
            if isinstance(item, AnswerDone):
                return

    async def _start(self, send: Send) -> None:
        if self._started:
            return
        self._started = True
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        await self._send(send, b"".join(map(event, self._reply.first())))

    async def _send(self, send: Send, data: bytes, *, last: bool = False) -> None:
        if data or last:
            await send({"type": "http.response.body", "body": data, "more_body": not last})


def refusal_response(error: RefusedError) -> Response:
    """Why there is no answer, as a response of its own."""
    return JSONResponse(error_object(error), status_code=error.status, headers=error.headers)


def _as_refusal(error: Exception) -> RefusedError:
    if isinstance(error, TorbizError):
        return refusal(error)
    logger("api").error("unexpected error in an answer", exc_info=error)
    return RefusedError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"Something unexpected happened: {type(error).__name__}.",
        remedy="app.log has the details.",
        code="internal",
    )


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
