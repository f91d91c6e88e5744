"""`bootstrap`: a node of a private swarm that serves no blocks, until Ctrl-C."""

from __future__ import annotations

import asyncio
import time
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
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, encode, make_invite
from torbiz_tui.private_swarms.known import KnownSwarm, KnownSwarms
from torbiz_tui.private_swarms.peer_address import read_peer

_STAGES = {"importing": "Starting the bootstrap node", "connecting": "Connecting"}


def run(call: Call) -> int:
    """Run the node, print its invite, and how many peers know it."""

    async def serve(services: Services) -> int:
        config, paths = services.config, services.paths
        name = config.swarm.name
        port = config.share.port
        if "share.port" not in vars(call.options):
            port = last_port(paths, name) or port
        command = bootstrap_command(config, paths, name, port)
        async with aclosing(run_bootstrap(services.environment.inference, command)) as events:
            async for event in events:
                match event:
                    case Stage(stage):
                        tell(_STAGES[stage])
                    case Ready(addresses):
                        invite = await asyncio.to_thread(_remember, services, addresses)
                        _introduce(invite, as_json=call.options.json)
                    case Peers(count):
                        tell(f"{count} peer{'' if count == 1 else 's'} of the swarm known")
        return ExitCode.OK

    return call.run(serve)


def _remember(services: Services, addresses: tuple[str, ...]) -> Invite:
    """The invite, with the models that the swarm is known to have; it is known from now on."""
    config, paths = services.config, services.paths
    swarm = KnownSwarm(
        config.swarm.name or "swarm",
        peers=(*addresses, *config.swarm.initial_peers),
        started_here=not config.swarm.initial_peers,
        last_seen=time.time(),
    )
    try:
        swarm = KnownSwarms(paths).remember(swarm)
        if addresses:
            remember_port(paths, config.swarm.name, read_peer(addresses[0]).port)
    except (TorbizError, OSError) as error:
        tell(f"{PROGRAM}: The swarm is not remembered: {error}")
    models = tuple(InvitedModel(one.name, one.dht_prefix) for one in swarm.models)
    return make_invite((*addresses, *config.swarm.initial_peers), models, swarm.name)


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
