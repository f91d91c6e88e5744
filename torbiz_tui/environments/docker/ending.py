"""The end of a container: asking it to stop, what is known of its end, removing it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torbiz_tui.environments.base import ExitReport, ServerRecord
from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.environments.docker.records import ContainerState
from torbiz_tui.environments.docker.watching import exit_code, look_at
from torbiz_tui.environments.processes import READ_FURTHER, READ_LINES, signal_name, telling
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger

if TYPE_CHECKING:
    from docker import DockerClient

_STOP_MARGIN_S = 20.0
_LATE_S = 1.0
_REMOVE_TIMEOUT_S = 60.0
_REMOVE_POLL_S = 0.1
_OUT_OF_MEMORY = "[ERROR] The server ran out of memory"
"""The last line of the supervisor in the container, of a server that the system has killed for it."""
# A code above says by which signal the main process ended, as in a shell.
_SIGNALLED = 128
_KILLED = 137


async def exit_report(
    engine: Engine, state: ContainerState, *, host_stopped: bool = False
) -> ExitReport:
    """What is known of the end of a container, its last lines included."""
    code = state.exit_code
    signalled = code is not None and code > _SIGNALLED
    lines = await _last_lines(engine, state.id)
    told = code == _KILLED and any(line.endswith(_OUT_OF_MEMORY) for line in lines)
    # The engine also marks one in which just a child was killed and that went on.
    out_of_memory = told or (state.out_of_memory and code != 0)
    # Some versions of Podman do not tell what has killed it.
    untold = engine.facts.podman and code == _KILLED
    return ExitReport(
        code=None if signalled else code,
        signal=signal_name(code - _SIGNALLED) if code is not None and signalled else None,
        asked=code == 0 and not host_stopped,
        out_of_memory=out_of_memory,
        memory_limit=state.memory_limit if out_of_memory or untold else None,
        ended_at=state.finished_at,
        last_lines=lines,
        host_stopped=host_stopped and not out_of_memory,
        error=redact(state.error),
    )


async def stop_container(engine: Engine, record: ServerRecord, grace_s: float) -> ExitReport:
    """Ask it to stop, kill it after `grace_s` seconds; a frozen one is set going first.

    Raises TorbizError when the engine does not answer.
    """
    from docker import errors

    ending: asyncio.Task[int | None] | None = None
    try:
        state = await look_at(engine, record.id)
        if not state.running:
            return await exit_report(engine, state)
        # The answer comes also when somebody removes the container meanwhile.
        ending = asyncio.create_task(exit_code(engine, record.id), name="await the end")
        if state.paused:
            await engine.call(
                lambda client: client.api.unpause(record.id), doing="unpausing the container"
            )
        await engine.call(
            lambda client: client.api.stop(record.id, timeout=math.ceil(grace_s)),
            doing="stopping the container",
            timeout_s=grace_s + _STOP_MARGIN_S,
        )
        state = await look_at(engine, record.id)
    except errors.APIError as error:
        # 404 and 409: it is gone, or somebody is removing it.
        logger("sharing").info("stopping the container: %s", error.explanation)
        code = None
        if ending is not None:
            await asyncio.wait([ending], timeout=_LATE_S)
            code = ending.result() if ending.done() else None
        state = ContainerState(record.id, record.container, "removed", exit_code=code)
    finally:
        if ending is not None:
            ending.cancel()
    report = await exit_report(engine, state)
    killed = state.exit_code == _KILLED and not report.out_of_memory
    return replace(report, asked=True, killed=killed)


async def remove_container(engine: Engine, container_id: str, *, force: bool = False) -> None:
    """Remove a container; one that is gone, or on its way, is no error.

    Its volumes stay: ours has none, and those of others are not ours to remove. Raises as
    `Engine.call`.
    """
    from docker import errors

    def remove(client: DockerClient) -> None:
        client.api.remove_container(container_id, force=force)

    try:
        await engine.call(remove, doing="removing the container", timeout_s=_REMOVE_TIMEOUT_S)
    except errors.NotFound:
        return
    except errors.APIError as error:
        logger("sharing").info("removing the container: %s", error.explanation)
    # "Removal already in progress": the name is free when that is done.
    deadline = time.monotonic() + _STOP_MARGIN_S
    while time.monotonic() < deadline:
        try:
            if (await look_at(engine, container_id)).running:
                return
        except errors.NotFound:
            return
        await asyncio.sleep(_REMOVE_POLL_S)


async def _last_lines(engine: Engine, container_id: str) -> tuple[str, ...]:
    from docker import errors

    def read(client: DockerClient, count: int) -> bytes:
        return bytes(client.api.logs(container_id, tail=count, stream=False))

    told: tuple[str, ...] = ()
    for count in (READ_LINES, READ_FURTHER):
        try:
            data = await engine.call(partial(read, count=count), doing="reading the last lines")
        except (TorbizError, errors.APIError):
            return ()
        lines = data.decode("utf-8", "replace").splitlines()
        told = telling(redact(sanitize_line(line)) for line in telling(lines))
        if told or len(lines) < count:
            break
    return told
