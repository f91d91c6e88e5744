"""The hosting container's log for `logs`: brought up to date first, and kept so while it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import tell
from torbiz_tui.errors import TorbizError

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.environments.docker.container_log import ContainerLog

_UPDATE_S = 10.0


def container_services(call: Call) -> Services | None:
    """The services of this call, if there may be a container."""
    from torbiz_tui.assembly import build_services, hosts_in_docker

    config = call.loaded.config
    if not hosts_in_docker(config) or not call.paths.logs.is_dir():
        return None
    call.start_log(create=False)
    return build_services(config, call.paths)


@asynccontextmanager
async def container_log_kept(services: Services | None, *, following: bool) -> AsyncIterator[None]:
    """Have in `container.log` what the container has logged so far, and with `following` what comes."""
    container_log = services.container_log() if services is not None else None
    if services is None or container_log is None:
        yield
        return
    keeping: asyncio.Task[None] | None = None
    try:
        await _update(container_log)
        if following:
            keeping = asyncio.create_task(container_log.keep(), name="keep the container's log")
        yield
    finally:
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        await services.close()


async def _update(container_log: ContainerLog) -> None:
    try:
        async with asyncio.timeout(_UPDATE_S):
            await container_log.update()
    except (TorbizError, TimeoutError) as error:
        why = f": {error.what}" if isinstance(error, TorbizError) else " in time."
        tell(f"The end of the container's log may be missing, Docker does not tell it{why}")
