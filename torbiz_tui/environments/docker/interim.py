"""Log lines and resource samples until the modules that do it properly are there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from torbiz_tui.environments.base import ResourceSample
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.watching import look_at
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.following import LineAssembler


async def container_lines(finder: EngineFinder, container_id: str) -> AsyncIterator[list[str]]:
    """The log from its start on."""
    from docker import errors

    read = 0
    caught_up = False
    while True:
        try:
            engine = await finder.engine()
            running = (await look_at(engine, container_id)).running
            data = await engine.call(
                lambda client: bytes(client.api.logs(container_id, stream=False)), doing="logs"
            )
        except errors.NotFound:
            return
        except TorbizError:
            await asyncio.sleep(1)
            continue
        whole = data if not running else data[: data.rfind(b"\n") + 1]
        assembler = LineAssembler()
        lines = assembler.feed(whole) + assembler.finish()
        if lines[read:]:
            yield lines[read:]
            read = len(lines)
        if not caught_up:
            caught_up = True
            yield []
        if not running:
            return
        await asyncio.sleep(0.3)


async def container_stats(engine: Engine, container_id: str) -> AsyncIterator[ResourceSample]:
    """Samples until it has ended."""

    def open_stream(client: Any) -> Any:
        return client.api.stats(container_id, decode=True, stream=True)

    async with contextlib.aclosing(engine.stream(open_stream, doing="stats")) as items:
        async for item in items:
            memory = int((item.get("memory_stats") or {}).get("usage") or 0)
            yield ResourceSample(
                0.0, memory, int((item.get("pids_stats") or {}).get("current") or 0)
            )
