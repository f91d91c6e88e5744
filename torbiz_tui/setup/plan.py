"""The setup plan: a graph of steps, run by asyncio, independent branches at once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum

from torbiz_tui.broadcast import Broadcast, Subscription
from torbiz_tui.errors import ExitCode, TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger
from torbiz_tui.setup.step import CheckResult, Readiness, Reporter, Step
from torbiz_tui.troubleshooting.symptom import Explanation

CHECK_TIMEOUT_S = 30.0
OUTPUT_LINES_KEPT = 2_000
_LINES_LOOKED_AT = 200


class StepState(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"
    CHECKING = "checking"
    RUNNING = "running"
    READY = "ready"
    MISSING = "missing"
    BLOCKED = "blocked"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def active(self) -> bool:
        """Whether it is doing something now."""
        return self in (StepState.CHECKING, StepState.RUNNING)

    @property
    def lets_on(self) -> bool:
        """Whether the steps that need this one may go on."""
        return self in (StepState.READY, StepState.SKIPPED)


@dataclass(frozen=True)
class StepStatus:
    """A step as the interface shows it; `elapsed_s` stands still once it is done.

    `known` is the known problem that made it fail.
    """

    id: str
    title: str
    needs: tuple[str, ...]
    optional: bool
    state: StepState = StepState.WAITING
    detail: str = ""
    instruction: str = ""
    known: Explanation | None = None
    fraction: float | None = None
    started: float | None = None
    elapsed_s: float = 0.0

    def elapsed_now(self) -> float:
        """Seconds that it has been running, or ran."""
        if self.started is not None and self.state.active:
            return time.monotonic() - self.started
        return self.elapsed_s


@dataclass(frozen=True)
class StepChanged:
    """A step's status is now another one."""

    status: StepStatus


@dataclass(frozen=True)
class StepOutput:
    """Lines that a step's tools printed, already sanitized."""

    step_id: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class PlanFinished:
    """Nothing runs any more."""

    outcome: ExitCode


PlanEvent = StepChanged | StepOutput | PlanFinished


class SetupPlan:
    """Runs the steps of an environment; one instance belongs to one event loop.

    `check_all` only looks, `run` also brings what is missing. Both publish StepChanged,
    StepOutput and PlanFinished to those who subscribed.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.id: step for step in steps}
        self._order = [step.id for step in steps]
        for step in steps:
            unknown = [need for need in step.needs if need not in self._steps]
            if unknown:
                raise ValueError(f"step {step.id} needs unknown steps {unknown}")
        self._status = {
            step.id: StepStatus(step.id, step.title, step.needs, step.optional) for step in steps
        }
        self._output: dict[str, list[str]] = {step_id: [] for step_id in self._order}
        self._printed: dict[str, deque[str]] = {
            step_id: deque(maxlen=_LINES_LOOKED_AT) for step_id in self._order
        }
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._to_apply: set[str] = set()
        self._to_redo: set[str] = set()
        self._broadcast: Broadcast[PlanEvent] = Broadcast()
        self._running: asyncio.Task[ExitCode] | None = None

    @property
    def statuses(self) -> tuple[StepStatus, ...]:
        """All steps in order."""
        return tuple(self._status[step_id] for step_id in self._order)

    @property
    def running(self) -> bool:
        """Whether a run or a check is under way."""
        return self._running is not None and not self._running.done()

    @property
    def outcome(self) -> ExitCode:
        """What the states amount to: 0 ready, 1 a step failed or is missing, 3 blocked."""
        needed = [status for status in self._status.values() if not status.optional]
        if all(status.state.lets_on for status in needed):
            return ExitCode.OK
        if any(
            status.state in (StepState.FAILED, StepState.MISSING, StepState.CANCELLED)
            for status in needed
        ):
            return ExitCode.FAILED
        return ExitCode.BLOCKED if self._any(StepState.BLOCKED) else ExitCode.FAILED

    def _any(self, state: StepState) -> bool:
        return any(status.state is state for status in self._status.values())

    def output(self, step_id: str) -> tuple[str, ...]:
        """What the step's tools have printed so far (the last 2,000 lines)."""
        return tuple(self._output[step_id])

    def subscribe(self) -> AbstractContextManager[Subscription[PlanEvent]]:
        """Listen to the plan; a context manager that gives an async iterator."""
        return self._broadcast.subscribe()

    async def check_all(self) -> ExitCode:
        """Check every step whose needs are met; change nothing."""
        return await self._start(self._not_skipped(), apply=False)

    async def run(self) -> ExitCode:
        """Check every step and apply what is missing."""
        return await self._start(self._not_skipped(), apply=True)

    def _not_skipped(self) -> list[str]:
        return [
            step_id
            for step_id in self._order
            if self._status[step_id].state is not StepState.SKIPPED
        ]

    async def retry(self, step_id: str) -> ExitCode:
        """Run again `step_id` and what waits for it, also while other steps are running."""
        again = [step_id, *self._dependents(step_id)]
        if not self.running:
            again += [
                status.id
                for status in self.statuses
                if not status.state.lets_on and status.id not in again
            ]
        return await self._start(again, apply=True)

    async def redo(self, step_id: str) -> ExitCode:
        """Apply a step also though it is ready, then run again what needs it."""
        if self._status[step_id].state is not StepState.RUNNING:
            self._to_redo.add(step_id)
        return await self.retry(step_id)

    def has(self, step_id: str) -> bool:
        """Whether there is such a step."""
        return step_id in self._steps

    def _dependents(self, step_id: str) -> list[str]:
        found: list[str] = []
        for other in self._order:
            if any(need == step_id or need in found for need in self._steps[other].needs):
                found.append(other)
        return found

    def skip(self, step_id: str) -> None:
        """Go on without a step; what needs it will be tried all the same."""
        task = self._tasks.get(step_id)
        self._set(step_id, state=StepState.SKIPPED, detail="Skipped by you", fraction=None)
        if task is not None:
            task.cancel()

    def cancel(self, step_id: str | None = None) -> None:
        """Stop one step, or all of them."""
        for task_id, task in list(self._tasks.items()):
            if step_id in (None, task_id):
                task.cancel()

    async def close(self) -> None:
        """Stop everything and wait until it has stopped."""
        self.cancel()
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _start(self, step_ids: Sequence[str], *, apply: bool) -> ExitCode:
        self._launch(step_ids, apply=apply)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._wait_for_all(), name="setup plan")
        # The plan belongs to the app, not to who happens to wait for it.
        return await asyncio.shield(self._running)

    def _launch(self, step_ids: Sequence[str], *, apply: bool) -> None:
        idle = [step_id for step_id in step_ids if not self._busy(step_id)]
        if apply:
            # Also for a step that is just being checked: it then goes on to apply.
            self._to_apply.update(step_ids)
        else:
            self._to_apply.difference_update(idle)
        for step_id in idle:
            self._printed[step_id].clear()
            self._set(
                step_id,
                state=StepState.WAITING,
                detail="",
                instruction="",
                known=None,
                fraction=None,
            )
        for step_id in idle:
            self._tasks[step_id] = asyncio.create_task(
                self._run_step(step_id), name=f"setup step {step_id}"
            )

    def _busy(self, step_id: str) -> bool:
        task = self._tasks.get(step_id)
        return task is not None and not task.done()

    async def _wait_for_all(self) -> ExitCode:
        while pending := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(pending)
        self._tasks.clear()
        outcome = self.outcome
        self._broadcast.publish(PlanFinished(outcome))
        return outcome

    async def _run_step(self, step_id: str) -> None:
        step = self._steps[step_id]
        try:
            await self._wait_for_needs(step)
            unmet = [need for need in step.needs if not self._status[need].state.lets_on]
            if unmet:
                titles = ", ".join(self._status[need].title for need in unmet)
                self._set(step_id, state=StepState.WAITING, detail=f"Waits for: {titles}")
                return
            await self._check_and_apply(step)
        except asyncio.CancelledError:
            if self._status[step_id].state is not StepState.SKIPPED:
                self._set(step_id, state=StepState.CANCELLED, detail="Cancelled", fraction=None)
        except TorbizError as error:
            self._fail(step_id, error)
        except Exception as error:  # noqa: BLE001 (a step must not take the others down)
            logger("setup").exception("step %s failed unexpectedly", step_id)
            self._fail(
                step_id,
                TorbizError(
                    f"{step.title} failed unexpectedly.",
                    why=f"{type(error).__name__}: {error}",
                    remedy="setup.log has the details; try it again.",
                ),
            )

    def _fail(self, step_id: str, error: TorbizError) -> None:
        blocked = error.exit_code is ExitCode.BLOCKED
        from torbiz_tui.setup.failures import known_failure
        from torbiz_tui.troubleshooting.recognising import reason

        known = known_failure(error, self._printed[step_id], self._steps[step_id])
        # An error that was made from a symptom says it already.
        added = known if known is not None and not error.symptom else None
        why = reason(added, error.what) if added is not None else ""
        for line in error.lines():
            self._record_output(step_id, line)
        self._set(
            step_id,
            state=StepState.BLOCKED if blocked else StepState.FAILED,
            detail=" ".join(part for part in (error.what, error.why, why) if part),
            instruction=added.remedy if added is not None else error.remedy,
            known=known,
            fraction=None,
        )

    async def _wait_for_needs(self, step: Step) -> None:
        # Looked up anew each time: what is needed may have been launched again meanwhile.
        while pending := [
            self._tasks[need] for need in step.needs if need in self._tasks and self._busy(need)
        ]:
            await asyncio.wait(pending)

    async def _check_and_apply(self, step: Step) -> None:
        self._set(step.id, state=StepState.CHECKING, started=time.monotonic(), elapsed_s=0.0)
        result = await self._check(step)
        redo = step.id in self._to_redo and result.readiness is Readiness.READY
        self._to_redo.discard(step.id)
        missing = result.readiness is Readiness.MISSING and step.id in self._to_apply
        if not (missing or redo):
            self._settle(step.id, result)
            return
        self._set(step.id, state=StepState.RUNNING, detail=result.detail)
        await step.apply(
            Reporter(
                progress=lambda fraction, text: self._set(
                    step.id, fraction=fraction, detail=sanitize_line(text)
                ),
                output=lambda line: self._record_output(step.id, line),
            )
        )
        result = await self._check(step)
        if result.readiness is Readiness.MISSING:
            raise TorbizError(
                f"{step.title} ran, and still something is missing.", why=result.detail
            )
        self._settle(step.id, result)

    async def _check(self, step: Step) -> CheckResult:
        try:
            return await asyncio.wait_for(step.check(), CHECK_TIMEOUT_S)
        except TimeoutError:
            raise TorbizError(
                f"{step.title}: the check did not answer within {CHECK_TIMEOUT_S:.0f} s.",
                remedy="Try it again.",
            ) from None

    def _settle(self, step_id: str, result: CheckResult) -> None:
        self._set(
            step_id,
            state=StepState(result.readiness.value),
            detail=result.detail,
            instruction=result.instruction,
            fraction=None,
        )

    def _set(self, step_id: str, **changes: object) -> None:
        before = self._status[step_id]
        after = replace(before, **changes)  # type: ignore[arg-type]
        if after.state is not before.state:
            if before.state.active and not after.state.active:
                after = replace(after, elapsed_s=before.elapsed_now())
            logger("setup").info(
                "[%s] %s%s", step_id, after.state, f": {after.detail}" if after.detail else ""
            )
        self._status[step_id] = after
        self._broadcast.publish(StepChanged(after))

    def _record_output(self, step_id: str, line: str) -> None:
        clean = sanitize_line(line)
        kept = self._output[step_id]
        kept.append(clean)
        self._printed[step_id].append(clean)
        if len(kept) > OUTPUT_LINES_KEPT:
            del kept[: len(kept) - OUTPUT_LINES_KEPT]
        logger("setup").info("[%s] %s", step_id, clean)
        self._broadcast.publish(StepOutput(step_id, (clean,)))
