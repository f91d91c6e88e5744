"""`setup`: brings what is missing, telling of it on stderr."""

from __future__ import annotations

import asyncio
import time

from torbiz_tui.assembly import Services
from torbiz_tui.broadcast import Subscription
from torbiz_tui.commands.asking import answer, someone_answers
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import tell, write_line
from torbiz_tui.commands.steps import missing, tell_outcome, write_steps_json
from torbiz_tui.errors import BlockedError, ExitCode
from torbiz_tui.setup.plan import PlanEvent, PlanFinished, StepChanged, StepState, StepStatus

_PROGRESS_EVERY_S = 1.0


def run(call: Call) -> int:
    """Run the plan; ask first, where there is something to bring and someone to ask."""

    async def set_up(services: Services) -> int:
        plan = services.setup
        if not call.options.yes:
            outcome = await plan.check_all()
            to_bring = missing(plan.statuses)
            if to_bring and not await _agreed(to_bring):
                tell("Nothing was changed.")
                return ExitCode.BLOCKED
        with plan.subscribe() as events:
            telling = asyncio.create_task(_tell_events(events), name="tell of the setup")
            outcome = await plan.run()
            await telling
        if call.options.json:
            write_steps_json(plan.statuses, outcome)
        else:
            tell_outcome(plan.statuses, outcome)
            if outcome is ExitCode.OK:
                write_line("Ready.")
        return outcome

    return call.run(set_up)


async def _agreed(to_bring: list[StepStatus]) -> bool:
    """Ask once. Raises BlockedError when nobody is there to answer."""
    plan = [f"{status.title}: {status.detail}".rstrip(": ") for status in to_bring]
    if not someone_answers():
        raise BlockedError(
            "Setup has something to bring, and nobody is there to ask.",
            why=" ".join(f"{line}." for line in plan),
            remedy="Pass --yes to agree.",
            code="not_agreed",
        )
    tell("Setup is going to bring:")
    for line in plan:
        tell(f"  {line}")
    return await answer("Go on? [Y/n] ") in ("", "y", "yes")


async def _tell_events(events: Subscription[PlanEvent]) -> None:
    """A line for every change of state, and now and then one for progress."""
    states: dict[str, StepState] = {}
    told: dict[str, tuple[float, str]] = {}
    async for event in events:
        if isinstance(event, PlanFinished):
            return
        if not isinstance(event, StepChanged):
            continue
        status = event.status
        if status.state is not states.get(status.id):
            states[status.id] = status.state
            if status.state not in (StepState.WAITING, StepState.CHECKING):
                told[status.id] = (time.monotonic(), _line(status))
                tell(_line(status))
        elif status.state is StepState.RUNNING:
            at, line = told.get(status.id, (0.0, ""))
            if _line(status) != line and time.monotonic() - at >= _PROGRESS_EVERY_S:
                told[status.id] = (time.monotonic(), _line(status))
                tell(_line(status))


def _line(status: StepStatus) -> str:
    percent = f" {status.fraction:.0%}" if status.fraction is not None else ""
    seconds = "" if status.state.active or status.elapsed_s < 1 else f" ({status.elapsed_s:.0f} s)"
    detail = f": {status.detail}" if status.detail else ""
    return f"[{status.state.value}] {status.title}{percent}{seconds}{detail}"
