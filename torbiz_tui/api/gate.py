"""What stands before every request: the host it names, the key it brings, a line in the log."""

from __future__ import annotations

import ipaddress
import time
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from torbiz_tui.api.answering import refusal_response
from torbiz_tui.api.key import ApiKey
from torbiz_tui.api.refusals import RefusedError
from torbiz_tui.config_errors import shown
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger

_SHOWN_CHARACTERS = 200
# As nginx logs a client that did not wait for the response.
_CLIENT_LEFT = 499


class Gate:
    """Lets in who may ask; `loopback` refuses names of other machines."""

    def __init__(self, app: ASGIApp, *, key: ApiKey | None, loopback: bool) -> None:
        self._app = app
        self._key = key
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; either is logged."""
        begun = time.perf_counter()
        status = _CLIENT_LEFT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._require_admitted(Headers(scope=scope))
        except RefusedError as error:
            await refusal_response(error)(scope, receive, noting)
        else:
            await self._app(scope, receive, noting)
        finally:
            _log(scope, status, time.perf_counter() - begun)

    def _require_admitted(self, headers: Headers) -> None:
        """Raises RefusedError.

        A web page can give its own name the address 127.0.0.1 and then ask this server as if it
        were its own; the name is still in the Host header.
        """
        host = headers.get("host", "")
        if self._loopback and not is_loopback_name(host):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                f"This server answers on loopback only, and the request is for {shown(host)}.",
                remedy="Use http://127.0.0.1, or let it listen elsewhere with --host.",
                code="host_not_allowed",
            )
        if self._key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._key.fits(given.strip()):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "The API key is missing or wrong.",
                remedy="Send it as `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def is_loopback_name(host: str) -> bool:
    """Whether a Host header, with or without a port, names this machine's loopback."""
    name, _, port = host.rpartition(":")
    if not name or not port.isdigit():
        name = host
    name = name.lower().removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _log(scope: Scope, status: int, seconds: float) -> None:
    client = (scope.get("client") or ("",))[0]
    path = sanitize_line(scope["path"][:_SHOWN_CHARACTERS])
    logger("api").info("%s %s %s %d %.3f s", client, scope["method"], path, status, seconds)
