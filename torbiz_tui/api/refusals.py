"""Failures as other programs learn of them: an HTTP status and OpenAI's error object."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import blocks_text


class RefusedError(TorbizError):
    """A request that is not answered; `param` names the field that is wrong, where one is."""

    def __init__(
        self,
        status: HTTPStatus,
        what: str,
        *,
        code: str,
        param: str | None = None,
        why: str = "",
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, why=why, remedy=remedy, code=code)
        self.status = status
        self.param = param
        self.headers = dict(headers or {})


# How a failure of the chat service is told, by its code: the status, and the code that programs
# know from OpenAI where it has another name.
_KNOWN = {
    "bad_request": (HTTPStatus.BAD_REQUEST, "bad_request"),
    "context_full": (HTTPStatus.BAD_REQUEST, "context_length_exceeded"),
    "busy": (HTTPStatus.TOO_MANY_REQUESTS, "busy"),
    "timeout": (HTTPStatus.GATEWAY_TIMEOUT, "timeout"),
    "missing_blocks": (HTTPStatus.SERVICE_UNAVAILABLE, "missing_blocks"),
    "not_serving_yet": (HTTPStatus.SERVICE_UNAVAILABLE, "missing_blocks"),
    "connection_failed": (HTTPStatus.SERVICE_UNAVAILABLE, "connection_failed"),
    "hub_unreachable": (HTTPStatus.SERVICE_UNAVAILABLE, "hub_unreachable"),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, "not_ready"),
    "cancelled": (HTTPStatus.SERVICE_UNAVAILABLE, "cancelled"),
}
_HEADERS = {HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "1"}}


def refusal(error: TorbizError) -> RefusedError:
    """A failure of the chat service as a refusal; what is not known by its code is a 500."""
    if isinstance(error, RefusedError):
        return error
    status, code = _KNOWN.get(error.code, (HTTPStatus.INTERNAL_SERVER_ERROR, error.code))
    why = error.why
    if isinstance(error, NotServedError):
        status = HTTPStatus.SERVICE_UNAVAILABLE
        missing = blocks_text(error.missing)
        nobody = error.code != "adapter_missing"
        if nobody and missing and missing not in f"{error.what} {why}":
            why = f"{why} Missing are the blocks {missing}.".lstrip()
    return RefusedError(
        status,
        error.what,
        why=why,
        remedy=error.remedy,
        code=code,
        param="messages" if code == "context_length_exceeded" else None,
        headers=_HEADERS.get(status),
    )


def error_object(error: RefusedError) -> dict[str, object]:
    """The body of an answer that is none."""
    return {
        "error": {
            "message": str(error),
            "type": _kind(error.status),
            "param": error.param,
            "code": error.code,
        }
    }


def _kind(status: HTTPStatus) -> str:
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
