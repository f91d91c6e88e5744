"""The routes: models, chat completions, completions."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from torbiz_tui.api.answering import AnswerResponse, Answers, refusal_response
from torbiz_tui.api.gate import Gate
from torbiz_tui.api.key import ApiKey
from torbiz_tui.api.refusals import RefusedError
from torbiz_tui.api.requests import ServedModel, chat_request, parse_body, text_request
from torbiz_tui.api.responses import ChatReply, TextReply, model_object
from torbiz_tui.config import AskConfig
from torbiz_tui.config_errors import shown

if TYPE_CHECKING:
    from torbiz_tui.inference.service import InferenceService
    from torbiz_tui.private_swarms.remembering import AskedSwarms

MAX_BODY_BYTES = 8_000_000
BODY_TIMEOUT_S = 30.0


class Api:
    """The endpoint over the chat service: one model, the defaults of the configuration."""

    def __init__(
        self,
        inference: InferenceService,
        model: ServedModel,
        defaults: AskConfig,
        *,
        key: ApiKey | None = None,
        loopback: bool = True,
        swarms: AskedSwarms | None = None,
    ) -> None:
        self.answers = Answers(inference, swarms)
        self._model = model
        self._defaults = defaults
        self._created = int(time.time())
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._one_model),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._text, methods=["POST"]),
        ]
        self.app: ASGIApp = Gate(
            Starlette(
                routes=routes,
                exception_handlers={
                    RefusedError: _refused,
                    HTTPException: _no_route,
                    ClientDisconnect: _left,
                    Exception: _unexpected,
                },
            ),
            key=key,
            loopback=loopback,
        )

    async def _models(self, _request: Request) -> Response:
        model = model_object(self._model.name, self._created)
        return JSONResponse({"object": "list", "data": [model]})

    async def _one_model(self, request: Request) -> Response:
        self._model.require(request.path_params["name"])
        return JSONResponse(model_object(self._model.name, self._created))

    async def _chat(self, request: Request) -> Response:
        asked = chat_request(parse_body(await _body(request)), self._model, self._defaults)
        reply = ChatReply(self._model.name, include_usage=asked.include_usage)
        return AnswerResponse(self.answers, asked, reply)

    async def _text(self, request: Request) -> Response:
        asked = text_request(parse_body(await _body(request)), self._model, self._defaults)
        reply = TextReply(self._model.name, include_usage=asked.include_usage)
        return AnswerResponse(self.answers, asked, reply)


async def _body(request: Request) -> bytes:
    """The body of a request. Raises RefusedError where it is too long, too slow, or no JSON.

    Only JSON is accepted because a web page can send everything else to another machine without
    asking that first.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The content type is {shown(kind)}.",
            remedy="Send JSON with `Content-Type: application/json`.",
            code="unsupported_media_type",
        )
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise RefusedError(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"The body is longer than {MAX_BODY_BYTES // 1_000_000} MB.",
                        code="body_too_large",
                        headers={"Connection": "close"},
                    )
    except TimeoutError:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body has not come within {BODY_TIMEOUT_S:.0f} s.",
            code="body_timeout",
            headers={"Connection": "close"},
        ) from None
    return bytes(body)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return refusal_response(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal_response(
        RefusedError(
            HTTPStatus(error.status_code),
            f"There is no {request.method} {shown(request.url.path)} here.",
            remedy="/v1/models, /v1/chat/completions and /v1/completions are served.",
            code="unknown_url",
            headers=error.headers,
        )
    )


async def _left(_request: Request, _error: Exception) -> Response:
    # Nobody is there to read it.
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _unexpected(_request: Request, error: Exception) -> Response:
    # The server's log gets the traceback: Starlette raises the error again after this.
    return refusal_response(
        RefusedError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"Something unexpected happened: {type(error).__name__}.",
            remedy="app.log has the details.",
            code="internal",
        )
    )
