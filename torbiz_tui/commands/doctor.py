"""`doctor`: the checks of the setup, and what the logs say; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import tell, write_line, write_table
from torbiz_tui.commands.steps import missing, tell_outcome, write_steps_json
from torbiz_tui.logs.sources import log_sources
from torbiz_tui.troubleshooting.findings import Finding, findings
from torbiz_tui.troubleshooting.machine import this_machine
from torbiz_tui.troubleshooting.symptom import Severity


def run(call: Call) -> int:
    """Check every step, look for known symptoms in the logs, and print what was found."""
    # Before the checks: they write to a log themselves.
    found = findings(log_sources(call.paths, container=True), this_machine())

    async def check(services: Services) -> int:
        outcome = await services.setup.check_all()
        statuses = services.setup.statuses
        if call.options.json:
            write_steps_json(statuses, outcome, findings=[_facts(one) for one in found])
            return outcome
        rows = [("STEP", "STATE", "FOUND")]
        write_table(
            rows + [(status.title, status.state.value, status.detail) for status in statuses]
        )
        _write_findings(found)
        tell_outcome(statuses, outcome)
        if missing(statuses):
            tell("`torbiz-tui setup` brings what is missing.")
        return outcome

    return call.run(check, create=False)


def _write_findings(found: Sequence[Finding]) -> None:
    """Print what the logs say, but for what is harmless."""
    told = [one for one in found if one.explanation.symptom.severity is not Severity.BENIGN]
    if not told:
        return
    write_line()
    write_line("The logs say, the newest first:")
    for one in told:
        explanation = one.explanation
        write_line(f"{explanation.title} (in the log {one.log})")
        write_line(f"  {explanation.line}")
        write_line(f"  {explanation.cause}")
        write_line(f"  {explanation.remedy}")


def _facts(finding: Finding) -> dict[str, object]:
    explanation = finding.explanation
    return {
        "id": explanation.symptom.id,
        "severity": explanation.symptom.severity.value,
        "title": explanation.title,
        "cause": explanation.cause,
        "remedy": explanation.remedy,
        "action": explanation.action.value,
        "log": finding.log,
        "line": explanation.line,
    }
