"""`swarms`: the private swarms that this machine knows."""

from __future__ import annotations

import time

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, tell, write_json, write_line, write_table
from torbiz_tui.errors import ExitCode, UsageError
from torbiz_tui.private_swarms.known import KnownSwarm, KnownSwarms
from torbiz_tui.private_swarms.peer_address import read_peer


def run(call: Call) -> int:
    """List the known swarms, or forget one."""
    name: str | None = call.options.name
    if call.options.action == "forget":
        if name is None:
            raise UsageError(
                "Which swarm should be forgotten?", remedy=f"`{PROGRAM} swarms` lists them."
            )
        KnownSwarms(call.paths).forget(name)
        tell(f"Forgotten: {name}. A server that runs in it goes on.")
        return ExitCode.OK
    if name is not None:
        raise UsageError(f"{name!r} is not understood.", remedy=f"See `{PROGRAM} swarms --help`.")

    async def show(services: Services) -> int:
        # One that serves now is noted when it is looked at.
        await services.sharing.attach()
        await services.sharing.close()
        known = KnownSwarms(services.paths)
        swarms = known.all()
        for warning in known.warnings:
            tell(f"{PROGRAM}: {warning}")
        if call.options.json:
            write_json({"swarms": [as_json(one) for one in swarms]})
        elif swarms:
            _write(swarms)
        else:
            tell(
                "No private swarm is known yet. See `torbiz-tui share --help`: --new-swarm, --join."
            )
        return ExitCode.OK

    return call.run(show, create=False)


def _write(swarms: list[KnownSwarm]) -> None:
    rows = [("NAME", "LAST SEEN", "BEGAN", "PEERS", "MODELS")]
    rows += [
        (
            one.name,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.last_seen)),
            "here" if one.started_here else "elsewhere",
            ", ".join(dict.fromkeys(read_peer(peer).host for peer in (*one.own, *one.peers))),
            ", ".join(model.name for model in one.models),
        )
        for one in swarms
    ]
    write_table(rows)
    write_line()
    write_line(f"Join one again: {PROGRAM} share --swarm NAME, {PROGRAM} ask --swarm NAME")


def as_json(swarm: KnownSwarm) -> dict[str, object]:
    """A swarm as `docs/commands.md` describes it."""
    return {
        "name": swarm.name,
        "models": [
            {
                "name": model.name,
                "dht_prefix": model.dht_prefix or None,
                "revision": model.revision or None,
            }
            for model in swarm.models
        ],
        "initial_peers": [*swarm.own, *swarm.peers],
        "started_here": swarm.started_here,
        "last_seen": swarm.last_seen,
    }
