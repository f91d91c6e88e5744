"""What an engine's failures mean for a person, and what to do about each on this platform."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from torbiz_tui.environments.docker.causes import Cause, Failure, SshFailedError, chain
from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.environments.docker.installed import Installed
from torbiz_tui.environments.docker.starting import install_instruction, start_instruction
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.troubleshooting.matching import find
from torbiz_tui.troubleshooting.symptom import Place

# From the most telling to the least, where several addresses failed differently.
_TELLING = (
    Cause.STARTING,
    Cause.STUCK,
    Cause.WINDOWS_CONTAINERS,
    Cause.TOO_OLD,
    Cause.PERMISSION,
    Cause.TLS,
    Cause.SSH,
    Cause.UNREACHABLE,
    Cause.NOT_RUNNING,
    Cause.NO_ENGINE,
    Cause.ABSENT,
)


def no_engine(failures: Sequence[Failure], installed: Installed) -> BlockedError:
    """Why no engine was found, and what to do about it on this machine."""
    worst = min(failures, key=lambda one: _TELLING.index(one.cause))
    endpoint = worst.endpoint
    tried = tuple(one.line() for one in failures if one.cause is not Cause.ABSENT)
    code, what, remedy = str(worst.cause), "", ""
    why = f"{endpoint.address} ({endpoint.source}): {worst.words.rstrip('.')}."
    match worst.cause:
        case Cause.ABSENT:
            return _absent(failures, installed)
        case Cause.NOT_RUNNING:
            what, remedy = "Docker is not running.", start_instruction(installed, endpoint)
            if "paused" in worst.words.lower():
                what = "Docker Desktop is paused."
                remedy = "Choose Resume (Unpause) in the menu of its whale, then retry."
        case Cause.STARTING:
            what = "Docker is starting."
            remedy = "Wait a moment, then retry. If it stays so, restart Docker."
        case Cause.STUCK:
            what = "Docker accepts connections and does not answer."
            remedy = "It may still be starting: retry. If it stays so, restart Docker."
        case Cause.PERMISSION:
            what = "You may not use Docker."
            why, remedy = _permission(endpoint, installed)
        case Cause.TOO_OLD:
            what = "This Docker is too old."
            remedy = "Install Docker 20.10 or later, then retry."
        case Cause.WINDOWS_CONTAINERS:
            what = "This Docker runs Windows containers."
            remedy = "Choose `Switch to Linux containers` in Docker Desktop's menu, then retry."
        case Cause.TLS:
            what = "No trusted connection to Docker."
            remedy = (
                "See whether DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the context, name the"
                " right certificates, then retry."
            )
        case Cause.SSH:
            what = "Docker is not reached through SSH."
            remedy = (
                f"See whether `ssh {endpoint.address.removeprefix('ssh://')} docker version`"
                " works without a question, then retry."
            )
        case Cause.UNREACHABLE:
            what = f"The machine of Docker is not reached ({endpoint.address})."
            remedy = f"See whether the address is right; it comes from {endpoint.source}."
        case Cause.NO_ENGINE:
            what = "What answers is not Docker."
            remedy = f"See whether the address is right; it comes from {endpoint.source}."
    if endpoint.chosen and endpoint.source.startswith("context"):
        remedy += " Another engine is chosen with `docker context use` or docker.host."
    details = tried if len(tried) > 1 else ()
    return BlockedError(what, why=redact(why), remedy=remedy, code=code, details=details)


def _absent(failures: Sequence[Failure], installed: Installed) -> BlockedError:
    endpoint = failures[0].endpoint
    if endpoint.chosen:
        where = f"There is no {endpoint.address}, which {endpoint.source} names."
    else:
        where = "None of the known sockets is there."
    if installed.anything:
        brings_engine = installed.mac or installed.programs or endpoint.chosen
        return BlockedError(
            "Docker is installed, but it is not running."
            if brings_engine
            else "The docker command is installed, but no engine.",
            why=where,
            remedy=start_instruction(installed, endpoint if endpoint.chosen else None),
            code=Cause.NOT_RUNNING,
        )
    return BlockedError(
        "Docker is not installed.",
        why=f"{where} There is no docker command either.",
        remedy=install_instruction(installed),
        code="docker_missing",
    )


def _permission(endpoint: Endpoint, installed: Installed) -> tuple[str, str]:
    path = endpoint.socket
    group = ""
    if path is not None:
        with contextlib.suppress(OSError, KeyError, NotImplementedError):
            group = path.group()
    if installed.mac or path is None:
        return (
            f"The system denies the access to {path or endpoint.address}.",
            "See that Docker Desktop runs under your own account, then retry.",
        )
    if not group or group == "root":
        return (
            f"The socket {path} belongs to root alone.",
            "Create the group with `sudo groupadd docker`, restart Docker, run"
            f" `sudo usermod -aG docker {installed.user or '$USER'}`, log out and in, then retry.",
        )
    why = f"The socket {path} is for the group {group}"
    if group in installed.groups and group not in installed.session_groups:
        return (
            f"{why}; you are in it, but this session has begun before.",
            f"Log out and in again (or run this program with `sg {group}`), then retry.",
        )
    return (
        f"{why}, and you are not in it.",
        f"Run `sudo usermod -aG {group} {installed.user or '$USER'}`, log out and in, then retry."
        " Whoever is in that group can become root on this machine.",
    )


def engine_error(
    error: BaseException, endpoint: Endpoint, *, doing: str, timeout_s: float
) -> TorbizError:
    """The failure of a call that was made for `doing` ("starting the container")."""
    from docker import errors

    if isinstance(error, errors.APIError):
        return refusal(str(error.explanation or error), doing=doing)
    if _is_timeout(error):
        return TorbizError(
            f"Docker did not answer within {timeout_s:.0f} s while {doing}.",
            remedy=f"See whether the engine at {endpoint.address} is busy or stuck, then try again.",
            code="docker_timeout",
        )
    if is_gone(error):
        return engine_gone(endpoint, doing=doing)
    return refusal(f"{type(error).__name__}: {error}", doing=doing)


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
    from docker import errors

    if isinstance(error, errors.APIError) or _is_timeout(error):
        return False
    if any(isinstance(one, SshFailedError) for one in chain(error)):
        return True
    # A file that the caller could not read is nothing that the engine did.
    broken: tuple[type[BaseException], ...] = (ConnectionError, urllib3.exceptions.ProtocolError)
    if isinstance(error, requests.exceptions.ConnectionError):
        broken += (FileNotFoundError,)
    return any(isinstance(one, broken) for one in chain(error))


def _is_timeout(error: BaseException) -> bool:
    import requests
    import urllib3

    return any(
        isinstance(
            one, TimeoutError | requests.exceptions.Timeout | urllib3.exceptions.TimeoutError
        )
        for one in chain(error)
    )


def refusal(text: str, *, doing: str) -> TorbizError:
    """What an engine's words mean, also those in the stream of a build or a pull."""
    words = redact(sanitize_line(text))[:600]
    symptom = find(text, Place.ENGINE)
    if symptom is not None:
        return TorbizError(
            f"{symptom.title.removesuffix('.')} ({doing}).",
            why=words,
            remedy=symptom.remedy,
            code=symptom.error_code,
            symptom=symptom.id,
        )
    return TorbizError(f"Docker refused while {doing}.", why=words, code="docker_failed")
