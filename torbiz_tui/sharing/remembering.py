"""Keeping in mind the private swarms that this machine serves in."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.state import Phase, SharingState

if TYPE_CHECKING:
    from torbiz_tui.environments.base import ServerSpec
    from torbiz_tui.private_swarms.known import KnownSwarm
    from torbiz_tui.private_swarms.remembering import SwarmNotes

# What a line of the log may hold; more are not kept of a swarm either.
MOST_SEEN = 16
_LOOKED_THROUGH = 2_000_000
# The line of `staying_joined.py` in `runner_scripts/`.
_SEEN = re.compile(r"\bPeers of the swarm, seen by (\w{40,70}): (\[.{0,4000}\])\s*$")


class SwarmMemory:
    """Writes down a swarm once its server serves, and when what is known of it changes."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._notes: SwarmNotes | None = None
        self._noted: KnownSwarm | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, state: SharingState) -> None:
        """Take a look at the server as it is now; returns at once."""
        if state.phase is not Phase.SERVING:
            return
        from torbiz_tui.private_swarms.remembering import is_news
        from torbiz_tui.sharing.inviting import swarm_of

        seen = swarm_of(state)
        if seen is None or not is_news(seen, self._noted):
            return
        self._noted = seen
        task = asyncio.get_running_loop().create_task(self._write(seen), name="remember the swarm")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, seen: KnownSwarm) -> None:
        from torbiz_tui.private_swarms.remembering import SwarmNotes

        self._notes = self._notes or SwarmNotes(self._paths)
        try:
            await self._notes.write(seen)
        except TorbizError as error:
            # Sharing goes on all the same.
            logger("sharing").warning("the swarm is not remembered: %s", error)


def read_peers_seen(message: str) -> tuple[str, tuple[str, ...]] | None:
    """A server's identity and the peers that it tells in a line of its log; None in another one."""
    from torbiz_tui.private_swarms.peer_address import whole_peers

    match = _SEEN.search(message)
    if match is None:
        return None
    try:
        found = ast.literal_eval(match[2])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    addresses = [text for text in found if isinstance(text, str)]
    return match[1], whole_peers(addresses)[:MOST_SEEN]


def take_in_last_run(paths: Paths) -> None:
    """Remember the peers that the last server has seen while no program of ours looked at it.

    Call it before a swarm is joined again by its name; that it cannot be done is no failure.
    """
    from torbiz_tui.private_swarms.known import KnownSwarms
    from torbiz_tui.private_swarms.remembering import NOTED_AGAIN_S

    told = _last_told(paths)
    if told is None:
        return
    own, peers, at = told
    known = KnownSwarms(paths)
    try:
        for swarm in known.all():
            identities = {address.rpartition("/p2p/")[2] for address in swarm.own}
            if own not in identities:
                continue
            if not set(peers) <= set(swarm.peers) or at - swarm.last_seen >= NOTED_AGAIN_S:
                known.remember(replace(swarm, peers=peers, last_seen=at))
    except TorbizError as error:
        logger("sharing").warning("the peers of the last run are not remembered: %s", error)


def friends_of(spec: ServerSpec, paths: Paths) -> tuple[str, ...]:
    """Where others of the server's private swarm were before, besides those that it joins through.

    That they cannot be read is no failure.
    """
    from torbiz_tui.private_swarms.finding import joined_before
    from torbiz_tui.private_swarms.known import KnownSwarms

    if not (spec.new_swarm or spec.initial_peers):
        return ()
    try:
        swarm = joined_before(KnownSwarms(paths).all(), spec.initial_peers, spec.swarm_name)
    except TorbizError as error:
        logger("sharing").warning("who was in the swarm before is not read: %s", error)
        return ()
    # A new swarm may have the name of one that began elsewhere.
    if swarm is None or not (spec.initial_peers or (spec.swarm_name and swarm.started_here)):
        return ()
    given = {address.rpartition("/p2p/")[2] for address in (*swarm.own, *spec.initial_peers)}
    return tuple(peer for peer in swarm.peers if peer.rpartition("/p2p/")[2] not in given)


def _last_told(paths: Paths) -> tuple[str, tuple[str, ...], float] | None:
    """A server's identity, the peers that it told last, and until when they were there (epoch)."""
    # Just after a rotation the log does not tell it yet.
    for name in ("petals_seeder.log", "petals_seeder.log.1"):
        if (told := _told_in(paths.logs / name)) is not None:
            return told
    return None


def _told_in(file: Path) -> tuple[str, tuple[str, ...], float] | None:
    try:
        with file.open("rb") as log:
            written = min(os.fstat(log.fileno()).st_mtime, time.time())
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOOKED_THROUGH))
            lines = log.read(_LOOKED_THROUGH).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if (told := read_peers_seen(line)) is not None:
            return *told, written
    return None
