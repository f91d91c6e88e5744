"""A short-lived container that imports the whole stack, confined as the hosting one is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.environments.docker.image import LABEL_ROLE, ROLE_PROBE
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.following import LineAssembler
from torbiz_tui.logs.redaction import redact
from torbiz_tui.paths import runner_scripts
from torbiz_tui.setup.step import Reporter

if TYPE_CHECKING:
    from docker import DockerClient

VERIFY_TIMEOUT_S = 300.0
_LAST_LINES = 8
# A probe that is so old was left behind by a program that was killed.
_LEFT_BEHIND_S = 2 * VERIFY_TIMEOUT_S
_CALL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ProbeResult:
    """What `check_stack.py` reported (None: nothing), its last other lines, and how it ended."""

    message: dict[str, Any] | None
    last_lines: tuple[str, ...]
    end: str


async def probe_image(
    engine: Engine, image_id: str, prefix: str, *, gpus: bool, report: Reporter
) -> ProbeResult:
    """Run `check_stack.py` in a container of the image; nothing of it is left, also on a cancel.

    `prefix` begins the container's name. Raises TorbizError (`verify_timeout`, and as
    `Engine.call` does).
    """
    message: dict[str, Any] | None = None
    last_lines: list[str] = []
    try:
        async with (
            asyncio.timeout(VERIFY_TIMEOUT_S),
            _running(engine, image_id, prefix, gpus=gpus) as name,
        ):
            async for from_stdout, line in _lines(engine, name):
                report.output(redact(line))
                said = _message(line) if from_stdout else None
                if said is None:
                    last_lines = [*last_lines, redact(line)][-_LAST_LINES:]
                elif said["type"] == "progress":
                    report.progress(None, str(said.get("detail", "")))
                elif said["type"] == "result":
                    message = said
            end = await engine.call(
                lambda client: _end_of(client, name), doing="reading how the container ended"
            )
    except TimeoutError:
        raise TorbizError(
            f"Petals could not be imported within {VERIFY_TIMEOUT_S:.0f} s.",
            remedy="The machine may be very busy; retry.",
            code="verify_timeout",
        ) from None
    return ProbeResult(message, tuple(last_lines), end)


@asynccontextmanager
async def _running(engine: Engine, image_id: str, prefix: str, *, gpus: bool) -> AsyncIterator[str]:
    name = f"{prefix}-verify-{uuid4().hex[:8]}"
    starting = asyncio.ensure_future(
        engine.call(
            lambda client: _start(client, image_id, name, prefix, gpus=gpus),
            doing="starting the container that verifies",
            timeout_s=_CALL_TIMEOUT_S,
        )
    )
    try:
        # Not cancelled with the caller: a container that comes to be has to be removed.
        await asyncio.shield(starting)
        yield name
    finally:
        await asyncio.shield(asyncio.ensure_future(_remove(engine, name, starting)))


async def _remove(engine: Engine, name: str, starting: asyncio.Future[None]) -> None:
    from docker import errors

    await asyncio.wait([starting])
    with contextlib.suppress(errors.APIError):
        await engine.call(
            lambda client: client.api.remove_container(name, force=True),
            doing="removing the container that verified",
            timeout_s=_CALL_TIMEOUT_S,
        )


def _start(client: DockerClient, image_id: str, name: str, prefix: str, *, gpus: bool) -> None:
    from docker.types import DeviceRequest

    _remove_left_behind(client, f"{prefix}-verify-")
    api: Any = client.api
    api.create_container(
        image_id,
        command=["python3", "/app/scripts/check_stack.py"],
        name=name,
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/root"},
        labels={LABEL_ROLE: ROLE_PROBE},
        host_config=api.create_host_config(
            binds={str(runner_scripts()): {"bind": "/app/scripts", "mode": "ro"}},
            tmpfs={"/tmp": "", "/root/.cache/huggingface": ""},  # noqa: S108 (in the container)
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpus else None,
        ),
    )
    api.start(name)


def _remove_left_behind(client: DockerClient, prefix: str) -> None:
    from docker import errors

    filters = {"label": f"{LABEL_ROLE}={ROLE_PROBE}", "name": prefix}
    for old in client.api.containers(all=True, filters=filters):
        if time.time() - old["Created"] > _LEFT_BEHIND_S:
            with contextlib.suppress(errors.APIError):
                client.api.remove_container(old["Id"], force=True)


async def _lines(engine: Engine, name: str) -> AsyncIterator[tuple[bool, str]]:
    """Its lines until it ends, and whether each came on stdout."""
    assemblers = (LineAssembler(), LineAssembler())

    def attach(client: DockerClient) -> Iterator[tuple[bytes | None, bytes | None]]:
        api: Any = client.api
        pieces: Iterator[tuple[bytes | None, bytes | None]] = api.attach(
            name, stdout=True, stderr=True, stream=True, logs=True, demux=True
        )
        return pieces

    stream = engine.stream(attach, doing="reading what the container says")
    async with contextlib.aclosing(stream) as pieces:
        async for piece in pieces:
            for number, data in enumerate(piece):
                for line in assemblers[number].feed(data) if data else ():
                    yield number == 0, line
    for number, assembler in enumerate(assemblers):
        for line in assembler.finish():
            yield number == 0, line


def _message(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "type" in found else None


def _end_of(client: DockerClient, name: str) -> str:
    client.api.wait(name)
    api: Any = client.api
    state = api.inspect_container(name)["State"]
    if state.get("OOMKilled"):
        return "The container ran out of memory."
    return f"The container ended with exit code {state.get('ExitCode')} and said nothing."
