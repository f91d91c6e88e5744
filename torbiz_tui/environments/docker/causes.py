"""Why an engine did not answer, from what the SDK raised."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.logs.sanitizing import sanitize_line


class Cause(StrEnum):
    """Why an address gave no engine to work with; the value is the code of the error."""

    ABSENT = "docker_absent"
    NOT_RUNNING = "docker_not_running"
    STARTING = "docker_starting"
    STUCK = "docker_stuck"
    PERMISSION = "docker_permission"
    TOO_OLD = "docker_too_old"
    WINDOWS_CONTAINERS = "docker_windows_containers"
    TLS = "docker_tls"
    SSH = "docker_ssh"
    UNREACHABLE = "docker_unreachable"
    NO_ENGINE = "docker_no_engine"


@dataclass(frozen=True)
class Failure:
    """One address that was tried in vain; `words` is what it said, safe to show."""

    endpoint: Endpoint
    cause: Cause
    words: str = ""

    def line(self) -> str:
        """The failure in one line."""
        return f"{self.endpoint.address} ({self.endpoint.source}): {self.words or self.cause}"


class RefusedEngineError(Exception):
    """An engine answered, and it is none that this program can use."""

    def __init__(self, cause: Cause, words: str) -> None:
        super().__init__(words)
        self.cause = cause


class SshFailedError(Exception):
    """ssh ended; the text is what it printed."""


def failure(error: BaseException, endpoint: Endpoint) -> Failure:
    """Judge what came of trying an address."""
    for cause in chain(error):
        if found := _judge(cause, endpoint):
            return Failure(endpoint, found[0], sanitize_line(found[1])[:300])
    words = sanitize_line(f"{type(error).__name__}: {error}")[:300]
    return Failure(endpoint, Cause.NO_ENGINE, words)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from; requests and urllib3 hide that in their arguments."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _judge(error: BaseException, endpoint: Endpoint) -> tuple[Cause, str] | None:
    import requests
    from docker import errors
    from urllib3 import exceptions

    if isinstance(error, RefusedEngineError):
        return error.cause, str(error)
    if isinstance(error, SshFailedError):
        return Cause.SSH, str(error)
    if isinstance(error, errors.APIError):
        return _answered(error)
    if isinstance(error, errors.InvalidVersion):
        return Cause.TOO_OLD, str(error)
    if isinstance(error, ssl.SSLError | errors.TLSParameterError | exceptions.SSLError):
        return Cause.TLS, str(error)
    if isinstance(error, exceptions.NewConnectionError):
        # A time-out by its class; what it was made from says what really happened.
        return None
    if isinstance(error, TimeoutError | requests.exceptions.Timeout | exceptions.TimeoutError):
        if isinstance(error, exceptions.ConnectTimeoutError | requests.ConnectTimeout):
            return Cause.UNREACHABLE, "no connection in time"
        return Cause.STUCK, "accepts connections and does not answer"
    if isinstance(error, OSError):
        return _system_error(error, endpoint)
    return None


def _answered(error: Any) -> tuple[Cause, str]:
    words = str(error.explanation or error)
    status = error.status_code or 0
    if "client version" in words and "too new" in words:
        return Cause.TOO_OLD, words
    if "paused" in words.lower():
        return Cause.NOT_RUNNING, words
    # What stands before the engine (Docker Desktop's proxy) says so while the engine starts.
    if status in (500, 502, 503, 504):
        return Cause.STARTING, f"answers {status}: {words}"
    if "HTTP request to an HTTPS server" in words:
        return Cause.TLS, words
    return Cause.NO_ENGINE, f"answers {status}: {words}"


def _system_error(error: OSError, endpoint: Endpoint) -> tuple[Cause, str] | None:
    import socket

    if isinstance(error, socket.gaierror):
        return Cause.UNREACHABLE, f"the host is not known ({error.strerror})"
    if isinstance(error, PermissionError):
        return Cause.PERMISSION, "permission denied"
    if isinstance(error, FileNotFoundError):
        if error.filename == "ssh":
            return Cause.SSH, "the program ssh is not installed"
        return Cause.ABSENT, "there is no such socket"
    if isinstance(error, ConnectionRefusedError):
        return Cause.NOT_RUNNING, "nobody listens"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return Cause.STARTING, "closes the connection without an answer"
    if error.errno is None or type(error).__module__ != "builtins":
        # requests' errors are OSErrors too; what they carry tells more.
        return None
    if isinstance(error, NotADirectoryError) or _is_no_socket(endpoint.socket):
        return Cause.NO_ENGINE, "is not a socket"
    return Cause.UNREACHABLE, str(error.strerror)


def _is_no_socket(path: Path | None) -> bool:
    try:
        return path is not None and path.exists() and not path.is_socket()
    except OSError:
        return False
