"""`stop`: ends sharing gracefully."""

from __future__ import annotations

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import tell
from torbiz_tui.errors import ExitCode


def run(call: Call) -> int:
    """Stop the server; that none runs is no failure."""

    async def stop(services: Services) -> int:
        report = await services.sharing.stop()
        if report is None:
            tell("Nothing is shared, so there is nothing to stop.")
        elif report.killed:
            tell(f"Stopped sharing. {report.sentence()}")
        else:
            tell("Stopped sharing.")
        return ExitCode.OK

    return call.run(stop, create=False)
