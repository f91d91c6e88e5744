"""`stop`: ends sharing gracefully."""

from __future__ import annotations

import asyncio

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, tell
from torbiz_tui.errors import ExitCode
from torbiz_tui.sharing.state import Phase


def run(call: Call) -> int:
    """Stop the server; that none runs is no failure."""
    now: bool = call.options.now

    async def stop(services: Services) -> int:
        opened = 0
        if not now:
            # Its log tells what it is answering.
            opened = (await services.sharing.attach()).requests_open
        longest = services.config.share.drain_s
        if opened and longest > 0:
            requests = "1 request has" if opened == 1 else f"{opened} requests have"
            tell(
                f"{requests} up to {longest:.0f} s to finish; `{PROGRAM} stop --now` stops at once."
            )
        try:
            report = await services.sharing.stop(now=now)
        except asyncio.CancelledError:
            if services.sharing.state.phase is Phase.STOPPING:
                at_once = "" if now else f"; `{PROGRAM} stop --now` stops it at once"
                tell(f"The server goes on stopping by itself{at_once}.")
            raise
        if report is None:
            tell("Nothing is shared, so there is nothing to stop.")
        elif report.killed:
            tell(f"Stopped sharing. {report.sentence()}")
        else:
            events = services.sharing.state.events
            tell(f"{events[-1].text if events else 'Stopped sharing'}.")
        return ExitCode.OK

    return call.run(stop, create=False)
