"""`doctor`: the checks of the setup; changes nothing."""

from __future__ import annotations

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import tell, write_table
from torbiz_tui.commands.steps import missing, tell_outcome, write_steps_json


def run(call: Call) -> int:
    """Check every step and print what was found."""

    async def check(services: Services) -> int:
        outcome = await services.setup.check_all()
        statuses = services.setup.statuses
        if call.options.json:
            write_steps_json(statuses, outcome)
            return outcome
        rows = [("STEP", "STATE", "FOUND")]
        write_table(
            rows + [(status.title, status.state.value, status.detail) for status in statuses]
        )
        tell_outcome(statuses, outcome)
        if missing(statuses):
            tell("`torbiz-tui setup` brings what is missing.")
        return outcome

    return call.run(check, create=False)
