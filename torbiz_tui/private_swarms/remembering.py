"""Keeping in mind the private swarms that this machine serves in and asks: one place for all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from torbiz_tui.config import Config
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.known import KnownModel, KnownSwarm, KnownSwarms, named_after
from torbiz_tui.private_swarms.peer_address import whole_peers

# Peers are dropped by the day, so the day of each is kept also where nothing changes.
NOTED_AGAIN_S = 24 * 3600.0


def is_news(seen: KnownSwarm, last: KnownSwarm | None) -> bool:
    """Whether it is to be written, `last` having been: it differs, or its peers are there still."""
    return (
        last is None
        or replace(seen, last_seen=last.last_seen) != last
        or seen.last_seen - last.last_seen >= NOTED_AGAIN_S
    )


class SwarmNotes:
    """Writes down what is seen of a swarm, in the order it comes, and only when it is news."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._last: KnownSwarm | None = None
        self._one_by_one = asyncio.Lock()

    def is_news(self, seen: KnownSwarm) -> bool:
        """Whether it differs from what was written last."""
        return is_news(seen, self._last)

    async def write(self, seen: KnownSwarm) -> None:
        """Add it to the known swarms. Raises TorbizError when that fails."""
        async with self._one_by_one:
            if self.is_news(seen):
                await asyncio.to_thread(KnownSwarms(self._paths).remember, seen)
                self._last = seen


class AskedSwarms:
    """Remembers the swarm that answers, the way a server remembers the one that it serves in."""

    def __init__(self, paths: Paths, config: Config) -> None:
        self._config = config
        self._notes = SwarmNotes(paths)

    async def answered(self, model: str, *, local: bool) -> None:
        """The model has answered, in this machine's memory if `local`.

        Raises TorbizError when nothing can be written.
        """
        seen = None if local else asked_swarm(self._config, model)
        if seen is not None:
            await self._notes.write(seen)


def asked_swarm(config: Config, model: str) -> KnownSwarm | None:
    """What is to be remembered of a private swarm that has answered; None for the public one."""
    peers = whole_peers(config.swarm.initial_peers)
    if not peers:
        return None
    folder = Path(model).expanduser()
    source = str(folder.absolute()) if (folder / "config.json").is_file() else ""
    configured = model == config.model
    prefix = config.swarm.dht_prefix if configured else ""
    revision = config.ask.revision if configured and not source else ""
    models = (KnownModel(folder.name if source else model, prefix, source, revision),)
    return KnownSwarm(
        config.swarm.name or named_after(models), models, peers, last_seen=time.time()
    )
