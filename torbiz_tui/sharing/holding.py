"""The one state of the hosted server that this program holds, and who listens to it."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.remembering import SwarmMemory
from torbiz_tui.sharing.stages import EVENTS_KEPT
from torbiz_tui.sharing.state import SharingEvent, SharingState


class HeldState:
    """Holds the newest state and hands every change on; all on one event loop."""

    def __init__(self, paths: Paths) -> None:
        self.now = SharingState()
        self._broadcast: Broadcast[SharingState] = Broadcast()
        self._memory = SwarmMemory(paths)

    def subscribe(self) -> AbstractContextManager[Subscription[SharingState]]:
        """Listen to every change."""
        return self._broadcast.subscribe()

    def set(self, state: SharingState) -> None:
        """Make this the state."""
        self.now = state
        self._broadcast.publish(state)
        self._memory.note(state)

    def change(self, **fields: Any) -> None:
        """Change some fields of the state."""
        self.set(replace(self.now, **fields))

    def tell(self, text: str, *, warning: bool = False, **fields: Any) -> None:
        """Change some fields, and say so in the events."""
        self.change(events=self.with_event(text, warning=warning), **fields)

    def with_event(self, text: str, *, warning: bool = False) -> tuple[SharingEvent, ...]:
        """The events with one more."""
        return (*self.now.events, SharingEvent(time.time(), text, warning))[-EVENTS_KEPT:]

    async def close(self) -> None:
        """Wait for what is being written."""
        await self._memory.close()
