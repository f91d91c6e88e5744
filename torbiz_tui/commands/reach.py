"""`reach`: whether other peers of the private swarm can dial this machine's server."""

from __future__ import annotations

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, tell, write_json, write_line
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.private_swarms.peer_address import whole_peers
from torbiz_tui.private_swarms.reaching import advice, ask_reach
from torbiz_tui.sharing.inviting import is_private


def run(call: Call) -> int:
    """Ask the others, and say which port to forward; the exit code says whether they reach it."""

    async def ask(services: Services) -> int:
        state = await services.sharing.attach()
        own = whole_peers(state.addresses)
        if not state.active or state.spec is None or not own:
            raise TorbizError(
                "No server of this machine has an address yet, so there is nothing to reach.",
                remedy=f"Start one: `{PROGRAM} share MODEL --new-swarm --wait`.",
                code="not_sharing",
            )
        if not is_private(state.spec):
            raise UsageError(
                "This is for private swarms; in the public one Petals tests it at the start.",
                remedy=f"`{PROGRAM} logs seeder --grep reachable` shows what it found.",
                code="public_swarm",
            )
        tell("Asking the other peers of the swarm")
        peers = whole_peers(state.spec.initial_peers)
        found = await ask_reach(services.environment.inference, own, peers)
        lines = advice(found, own)
        if call.options.json:
            others = [{"peer": peer, "reached": told} for peer, told in found.others.items()]
            report = {"verdict": found.verdict, "listens": found.listens, "others": others}
            write_json({**report, "clock": found.clock or None, "advice": lines})
        else:
            for line in lines:
                write_line(line)
        return ExitCode.OK if found.verdict == "reached" else ExitCode.FAILED

    return call.run(ask, create=False)
