"""A short-lived container that imports the whole stack, confined as the hosting one is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
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
_POLL_S = 0.3


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
    end = ""
    try:
        async with (
            asyncio.timeout(VERIFY_TIMEOUT_S),
            _running(engine, image_id, prefix, gpus=gpus) as name,
        ):
            seen = [0, 0]
            running = True
            while running:
                running, end, printed = await engine.call(
                    lambda client: _look(client, name), doing="reading what the container says"
                )
                for number, lines in enumerate(printed):
                    for line in lines[seen[number] :]:
                        report.output(redact(line))
                        said = _message(line) if number == 0 else None
                        if said is None:
                            last_lines = [*last_lines, redact(line)][-_LAST_LINES:]
                        elif said["type"] == "progress":
                            report.progress(None, str(said.get("detail", "")))
                        elif said["type"] == "result":
                            message = said
                    seen[number] = len(lines)
                if running:
                    await asyncio.sleep(_POLL_S)
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


def _message(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "type" in found else None


def _look(client: DockerClient, name: str) -> tuple[bool, str, tuple[list[str], list[str]]]:
    """Whether it runs, else how it ended, and the whole lines of its stdout and stderr so far.

    It lives for seconds and says little. Following its output instead may miss all of it, or never
    end, when the container ends while the connection is made.
    """
    api: Any = client.api
    # The state first: what an ended container has printed is complete.
    state = api.inspect_container(name)["State"]
    running = state.get("Status") in ("created", "running")
    end = f"The container ended with exit code {state.get('ExitCode')} and said nothing."
    if state.get("OOMKilled"):
        end = "The container ran out of memory."
    stdout, stderr = (
        _whole_lines(
            api.logs(name, stdout=stream == "stdout", stderr=stream == "stderr"), ended=not running
        )
        for stream in ("stdout", "stderr")
    )
    return running, end, (stdout, stderr)


def _whole_lines(data: bytes, *, ended: bool) -> list[str]:
    assembler = LineAssembler()
    lines = assembler.feed(data)
    return [*lines, *assembler.finish()] if ended else lines
