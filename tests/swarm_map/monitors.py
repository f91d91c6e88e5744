"""A monitor that tells what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from torbiz_tui.swarm_map.monitor import Looking, SwarmEvent
from torbiz_tui.swarm_map.snapshot import Snapshot


class ScriptedMonitor:
    """Tells its events; None in them waits for ever, the end is a Ctrl-C."""

    def __init__(self, *events: SwarmEvent | None) -> None:
        self._events = events
        self.models: list[str] = []
        self.last: Snapshot | None = None
        self.closed = 0

    async def watch(self, model: str, period_s: float = 5.0) -> AsyncGenerator[SwarmEvent, None]:
        self.models.append(model)
        try:
            yield Looking("importing", "192.0.2.7:31337", self.last)
            for event in self._events:
                if event is None:
                    await asyncio.Event().wait()
                else:
                    yield event
            raise KeyboardInterrupt
        finally:
            self.closed += 1


class SentMonitor:
    """Tells what a test puts into its queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[SwarmEvent] = asyncio.Queue()
        self.models: list[str] = []
        self.closed = 0

    async def watch(self, model: str, period_s: float = 5.0) -> AsyncGenerator[SwarmEvent, None]:
        self.models.append(model)
        try:
            while True:
                yield await self.queue.get()
        finally:
            self.closed += 1
