"""`bootstrap`: a node of a private swarm that serves no blocks, until Ctrl-C."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.invite import as_json as invite_as_json
from torbiz_tui.commands.invite import in_words, notes_for_host
from torbiz_tui.commands.output import PROGRAM, tell, write_json, write_line
from torbiz_tui.errors import ExitCode, TorbizError
from torbiz_tui.private_swarms.bootstrap import (
    Peers,
    Ready,
    Stage,
    bootstrap_command,
    last_port,
    remember_port,
    run_bootstrap,
)
from torbiz_tui.private_swarms.finding import joined_before
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, encode, make_invite
from torbiz_tui.private_swarms.known import MAX_KEPT_PEERS, NO_NAME, KnownSwarm, KnownSwarms
from torbiz_tui.private_swarms.peer_address import for_others, read_peer
from torbiz_tui.private_swarms.remembering import NOTED_AGAIN_S

_STAGES = {"importing": "Starting the bootstrap node", "connecting": "Connecting"}
# With many interfaces its own addresses would leave no room for those of friends.
_OWN_KEPT = 4


def run(call: Call) -> int:
    """Run the node, print its invite, and how many peers know it."""

    async def serve(services: Services) -> int:
        config, paths = services.config, services.paths
        name = config.swarm.name
        port = config.share.port
        if "share.port" not in vars(call.options):
            port = last_port(paths, name) or port
        memory, told = _Memory(services), -1
        known = await asyncio.to_thread(memory.known)
        command = bootstrap_command(config, paths, name, port, known)
        async with aclosing(run_bootstrap(services.environment.inference, command)) as events:
            async for event in events:
                match event:
                    case Stage(stage):
                        tell(_STAGES[stage])
                    case Ready(addresses):
                        invite = await asyncio.to_thread(memory.ready, addresses)
                        _introduce(invite, as_json=call.options.json)
                    case Peers(count, addresses):
                        if count != told:
                            tell(f"{count} peer{'' if count == 1 else 's'} of the swarm known")
                        told = count
                        await asyncio.to_thread(memory.peers, addresses)
        return ExitCode.OK

    return call.run(serve)


class _Memory:
    """Keeps the swarm of the node in mind: itself, and the friends that join through it."""

    def __init__(self, services: Services) -> None:
        self._paths = services.paths
        self._config = services.config
        self._name = services.config.swarm.name or NO_NAME
        self._own: tuple[str, ...] = ()
        self._began_here = not services.config.swarm.initial_peers
        self._written: tuple[str, ...] = ()
        self._at = 0.0
        self._failed = False

    def known(self) -> tuple[str, ...]:
        """Where friends were reached before, and a server of this machine."""
        known, asked = KnownSwarms(self._paths), self._config.swarm
        try:
            swarm = joined_before(known.all(), asked.initial_peers, asked.name)
        except TorbizError as error:
            tell(f"{PROGRAM}: The friends of before are not called: {error}")
            return ()
        for warning in known.warnings:
            tell(f"{PROGRAM}: {warning}")
        if swarm is None:
            return ()
        self._name = asked.name or swarm.name
        self._began_here = swarm.started_here
        return (*swarm.peers, *swarm.own)

    def ready(self, addresses: tuple[str, ...]) -> Invite:
        """It listens there; the invite has the models that the swarm is known to have."""
        joined = self._config.swarm.initial_peers
        self._own = for_others(addresses, _OWN_KEPT)
        swarm = self._remember(joined)
        models = tuple(InvitedModel(one.name, one.dht_prefix, one.revision) for one in swarm.models)
        if addresses:
            try:
                name = self._config.swarm.name
                remember_port(self._paths, name, read_peer(addresses[0]).port)
            except OSError as error:
                tell(f"{PROGRAM}: The port is not remembered: {error}")
        return make_invite((*addresses, *joined), models, swarm.name)

    def peers(self, addresses: tuple[str, ...]) -> None:
        """These are there now."""
        if set(addresses) - set(self._written) or time.time() - self._at >= NOTED_AGAIN_S:
            self._remember(addresses)

    def _remember(self, peers: Sequence[str]) -> KnownSwarm:
        self._written, self._at = tuple(peers), time.time()
        swarm = KnownSwarm(
            self._name,
            peers=tuple(dict.fromkeys((*self._own, *peers)))[:MAX_KEPT_PEERS],
            started_here=self._began_here,
            last_seen=self._at,
        )
        try:
            return KnownSwarms(self._paths).remember(swarm)
        except TorbizError as error:
            if not self._failed:
                tell(f"{PROGRAM}: The swarm is not remembered: {error}")
            self._failed = True
            return swarm


def _introduce(invite: Invite, *, as_json: bool) -> None:
    for note in notes_for_host(invite):
        tell(note)
    if as_json:
        write_json(invite_as_json(invite))
        return
    if invite.models:
        lines = in_words(invite)
    else:
        lines = [
            encode(invite),
            f"To host: {PROGRAM} share MODEL --join CODE",
            f"To ask, once somebody hosts: {PROGRAM} ask --model MODEL --join CODE",
        ]
    for line in [*lines, "Ctrl-C ends it."]:
        write_line(line)
