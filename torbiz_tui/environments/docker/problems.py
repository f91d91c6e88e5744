"""What an engine's failures mean for a person, and what to do about each on this platform."""

from __future__ import annotations

from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.errors import TorbizError


def engine_error(
    error: BaseException, endpoint: Endpoint, *, doing: str, timeout_s: float
) -> TorbizError:
    """The failure of a call that was made for `doing` ("starting the container")."""
    from docker import errors

    if isinstance(error, TimeoutError) or _is_read_timeout(error):
        return TorbizError(
            f"Docker did not answer within {timeout_s:.0f} s while {doing}.",
            remedy=f"See whether the engine at {endpoint.address} is busy or stuck, then try again.",
            code="docker_timeout",
        )
    if is_gone(error):
        return engine_gone(endpoint, doing=doing)
    if isinstance(error, errors.APIError):
        return TorbizError(
            f"Docker refused while {doing}.",
            why=str(error.explanation or error),
            code="docker_failed",
        )
    return TorbizError(
        f"Docker refused while {doing}.",
        why=f"{type(error).__name__}: {error}",
        code="docker_failed",
    )


def engine_gone(endpoint: Endpoint, *, doing: str) -> TorbizError:
    """The engine has answered before and does not any more."""
    return TorbizError(
        f"Docker went away while {doing}.",
        why=f"Nothing answers at {endpoint.address} any more.",
        remedy="Start Docker again, then try again.",
        code="docker_gone",
    )


def is_gone(error: BaseException) -> bool:
    """Whether the connection broke, as against an answer that the caller does not like."""
    import requests
    import urllib3

    if isinstance(error, requests.exceptions.ReadTimeout):
        return False
    return isinstance(
        error,
        (
            requests.exceptions.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            urllib3.exceptions.ProtocolError,
            OSError,
        ),
    ) and not isinstance(error, requests.exceptions.HTTPError)


def _is_read_timeout(error: BaseException) -> bool:
    import requests
    import urllib3

    return isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError))
