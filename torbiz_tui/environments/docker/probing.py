"""Asking an address whether an engine answers there that this program can use."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from torbiz_tui.environments.docker.causes import Cause, Failure, RefusedEngineError, failure
from torbiz_tui.environments.docker.connection import EngineConnection
from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.environments.docker.facts import EngineFacts, facts_from
from torbiz_tui.threads import call_abandonable

# Docker 20.10 (December 2020): the oldest that tells its cgroup version and knows `--platform`.
OLDEST_API = (1, 41)
LOCAL_TIMEOUT_S = 5.0
# A connection through SSH takes some seconds by itself.
REMOTE_TIMEOUT_S = 15.0


async def probe(endpoint: Endpoint) -> EngineFacts | Failure:
    """Ask one address; never takes longer than its time limit."""
    limit = LOCAL_TIMEOUT_S if endpoint.local else REMOTE_TIMEOUT_S
    path = endpoint.socket
    if path is not None and await asyncio.to_thread(_absent, path):
        return Failure(endpoint, Cause.ABSENT, "there is no such socket")
    opened: list[EngineConnection] = []
    try:
        async with asyncio.timeout(limit):
            return await call_abandonable(
                lambda: _ask(endpoint, limit, opened), f"docker: asking {endpoint.address}"
            )
    except Exception as error:  # noqa: BLE001 (whatever it is, there is no engine to use here)
        return failure(error, endpoint)
    finally:
        for connection in opened:
            connection.cut()


def _absent(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _ask(endpoint: Endpoint, limit: float, opened: list[EngineConnection]) -> EngineFacts:
    def connect(api_version: str = "") -> Any:
        opened.append(EngineConnection(endpoint, api_version=api_version, timeout_s=limit))
        return opened[-1].client

    version = connect().version(api_version=False)
    api_version = _usable(version)
    info = connect(api_version).info()
    if not isinstance(info, dict):
        raise RefusedEngineError(Cause.NO_ENGINE, "does not answer like an engine")
    for connection in opened:
        connection.close()
    return facts_from(version, info, endpoint, home=Path.home())


def _usable(version: Any) -> str:
    spoken = version.get("ApiVersion") if isinstance(version, dict) else None
    numbers = re.fullmatch(r"(\d+)\.(\d+)", spoken) if isinstance(spoken, str) else None
    if numbers is None:
        raise RefusedEngineError(Cause.NO_ENGINE, "does not answer like an engine")
    if version.get("Os") == "windows":
        raise RefusedEngineError(Cause.WINDOWS_CONTAINERS, "runs Windows containers")
    if tuple(map(int, numbers.groups())) < OLDEST_API:
        needed = ".".join(map(str, OLDEST_API))
        raise RefusedEngineError(
            Cause.TOO_OLD,
            f"version {version.get('Version')} speaks API {spoken}, and {needed} is needed",
        )
    return str(spoken)
