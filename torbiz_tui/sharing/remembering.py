"""Keeping in mind the private swarms that this machine serves in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.state import Phase, SharingState

if TYPE_CHECKING:
    from torbiz_tui.private_swarms.known import KnownSwarm


class SwarmMemory:
    """Writes down a swarm once its server serves, and when what is known of it changes."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._last: KnownSwarm | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, state: SharingState) -> None:
        """Take a look at the server as it is now; returns at once."""
        if state.phase is not Phase.SERVING:
            return
        from torbiz_tui.sharing.inviting import swarm_of

        seen = swarm_of(state)
        if seen is None or replace(seen, last_seen=0.0) == self._last:
            return
        self._last = replace(seen, last_seen=0.0)
        task = asyncio.get_running_loop().create_task(self._write(seen), name="remember the swarm")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, seen: KnownSwarm) -> None:
        from torbiz_tui.private_swarms.known import KnownSwarms

        try:
            await asyncio.to_thread(KnownSwarms(self._paths).remember, seen)
        except TorbizError as error:
            # Sharing goes on all the same.
            logger("sharing").warning("the swarm is not remembered: %s", error)
