"""What `setup` and `doctor` have in common: the steps in words, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torbiz_tui.commands.output import tell, write_json
from torbiz_tui.errors import ExitCode
from torbiz_tui.setup.plan import StepState, StepStatus


def write_steps_json(
    statuses: tuple[StepStatus, ...],
    outcome: ExitCode,
    *,
    findings: Sequence[Mapping[str, object]] | None = None,
) -> None:
    """Print the steps as one JSON object, with what the logs say where that was looked for."""
    steps = [
        {
            "id": status.id,
            "title": status.title,
            "state": status.state.value,
            "detail": status.detail,
            "instruction": status.instruction,
            "elapsed_s": round(status.elapsed_s, 3),
        }
        for status in statuses
    ]
    answer: dict[str, object] = {"ready": outcome is ExitCode.OK, "steps": steps}
    if findings is not None:
        answer["findings"] = findings
    write_json(answer)


def tell_outcome(statuses: tuple[StepStatus, ...], outcome: ExitCode) -> None:
    """Say what the person has to do, if anything."""
    for status in statuses:
        if status.instruction and not status.state.lets_on:
            tell(f"{status.title}: {status.instruction}")
    if outcome is ExitCode.BLOCKED:
        tell("Setup cannot go on without you; see above.")


def missing(statuses: tuple[StepStatus, ...]) -> list[StepStatus]:
    """The steps that would bring something."""
    return [status for status in statuses if status.state is StepState.MISSING]
