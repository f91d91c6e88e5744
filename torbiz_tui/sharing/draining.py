"""Letting a server finish what it is answering before it stops."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from torbiz_tui.environments.base import EnvironmentDriver, ExitReport, ServerRecord
from torbiz_tui.sharing.holding import HeldState


async def drain(
    driver: EnvironmentDriver,
    record: ServerRecord,
    held: HeldState,
    longest_s: float,
    stop_now: asyncio.Event,
) -> ExitReport | None:
    """Wait until it has finished what it is answering and ended; None when it goes on.

    `stop_now` cuts the wait short.
    """
    if stop_now.is_set() or held.now.paused or longest_s <= 0:
        return None
    if not await driver.drain_server(record):
        return None
    held.tell(f"Finishing what is being answered, for {longest_s:.0f} s at most", draining=True)
    ended = asyncio.create_task(driver.wait_server(record), name="wait for the drain")
    told = asyncio.create_task(stop_now.wait(), name="wait for a second stop")
    waits = (ended, told)
    try:
        await asyncio.wait(waits, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        # It was asked to, though a container's engine knows nothing of that.
        return replace(ended.result(), asked=True) if ended.done() else None
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        held.change(draining=False)
