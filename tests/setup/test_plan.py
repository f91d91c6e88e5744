"""The setup plan: order, independence, cancelling, retrying, skipping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from torbiz_tui.errors import BlockedError, ExitCode, TorbizError
from torbiz_tui.logs.writing import start_logging
from torbiz_tui.paths import Paths
from torbiz_tui.setup.plan import PlanFinished, SetupPlan, StepOutput, StepState
from torbiz_tui.setup.step import CheckResult, Reporter, Step


class ScriptedStep(Step):
    """A step that does as it is told; `done` is what its check sees."""

    def __init__(self, step_id: str, needs: Sequence[str] = (), *, done: bool = False) -> None:
        self.id = step_id  # type: ignore[misc]
        self.title = f"Step {step_id}"  # type: ignore[misc]
        self.needs = tuple(needs)  # type: ignore[misc]
        self.done = done
        self.error: TorbizError | None = None
        self.checked = 0
        self.applied = 0
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.applying = asyncio.Event()

    async def check(self) -> CheckResult:
        self.checked += 1
        return CheckResult.ready("there") if self.done else CheckResult.missing("not there")

    async def apply(self, report: Reporter) -> None:
        self.applied += 1
        self.applying.set()
        report.progress(0.5, "half")
        report.output(f"\x1b[31mline of {self.id}\x1b[0m")
        await self.may_finish.wait()
        if self.error is not None:
            raise self.error
        self.done = True


def states(plan: SetupPlan) -> dict[str, StepState]:
    return {status.id: status.state for status in plan.statuses}


async def until(plan: SetupPlan, step_id: str, state: StepState) -> None:
    with plan.subscribe() as events:
        changes = aiter(events)
        async with asyncio.timeout(30):
            while states(plan)[step_id] is not state:
                await anext(changes)


async def test_check_all_changes_nothing() -> None:
    step = ScriptedStep("a")
    plan = SetupPlan([step])
    assert await plan.check_all() is ExitCode.FAILED
    assert step.applied == 0
    assert states(plan) == {"a": StepState.MISSING}


async def test_run_brings_what_is_missing_in_order() -> None:
    first, second = ScriptedStep("a"), ScriptedStep("b", ["a"])
    plan = SetupPlan([first, second])
    first.may_finish.clear()
    running = asyncio.create_task(plan.run())
    await first.applying.wait()
    assert second.checked == 0
    first.may_finish.set()
    assert await running is ExitCode.OK
    assert (first.applied, second.applied) == (1, 1)


async def test_a_finished_machine_is_only_checked() -> None:
    step = ScriptedStep("a", done=True)
    plan = SetupPlan([step])
    assert await plan.run() is ExitCode.OK
    assert step.applied == 0


async def test_independent_branches_run_at_once() -> None:
    first, second = ScriptedStep("a"), ScriptedStep("b")
    first.may_finish.clear()
    second.may_finish.clear()
    plan = SetupPlan([first, second])
    running = asyncio.create_task(plan.run())
    async with asyncio.timeout(30):
        await first.applying.wait()
        await second.applying.wait()
    first.may_finish.set()
    second.may_finish.set()
    assert await running is ExitCode.OK


async def test_a_blocked_branch_does_not_block_another() -> None:
    blocked, waits, free = ScriptedStep("a"), ScriptedStep("b", ["a"]), ScriptedStep("c")
    blocked.error = BlockedError("No daemon.", remedy="Start it.")
    plan = SetupPlan([blocked, waits, free])
    assert await plan.run() is ExitCode.BLOCKED
    assert states(plan) == {
        "a": StepState.BLOCKED,
        "b": StepState.WAITING,
        "c": StepState.READY,
    }
    by_id = {status.id: status for status in plan.statuses}
    assert by_id["a"].instruction == "Start it."
    assert "Step a" in by_id["b"].detail


async def test_a_failure_says_why_and_can_be_retried_with_what_waits_for_it() -> None:
    failing, after = ScriptedStep("a"), ScriptedStep("b", ["a"])
    failing.error = TorbizError("It broke.", why="The disk is full.", remedy="Free some space.")
    plan = SetupPlan([failing, after])
    assert await plan.run() is ExitCode.FAILED
    status = plan.statuses[0]
    assert status.state is StepState.FAILED
    assert status.detail == "It broke. The disk is full."
    assert status.instruction == "Free some space."
    failing.error = None
    assert await plan.retry("a") is ExitCode.OK
    assert states(plan) == {"a": StepState.READY, "b": StepState.READY}


async def test_a_step_can_be_retried_while_another_one_runs() -> None:
    failing, slow = ScriptedStep("a"), ScriptedStep("b")
    failing.error = TorbizError("It broke.")
    slow.may_finish.clear()
    plan = SetupPlan([failing, slow])
    running = asyncio.create_task(plan.run())
    await slow.applying.wait()
    await until(plan, "a", StepState.FAILED)
    failing.error = None
    retried = asyncio.create_task(plan.retry("a"))
    await until(plan, "a", StepState.READY)
    assert states(plan)["b"] is StepState.RUNNING
    slow.may_finish.set()
    assert await running is ExitCode.OK
    assert await retried is ExitCode.OK
    assert slow.applied == 1


async def test_cancel_stops_one_step_and_leaves_the_others() -> None:
    slow, other = ScriptedStep("a"), ScriptedStep("b")
    slow.may_finish.clear()
    plan = SetupPlan([slow, other])
    running = asyncio.create_task(plan.run())
    await slow.applying.wait()
    plan.cancel("a")
    assert await running is ExitCode.FAILED
    assert states(plan) == {"a": StepState.CANCELLED, "b": StepState.READY}


async def test_skip_lets_the_next_step_try() -> None:
    stuck, after = ScriptedStep("a"), ScriptedStep("b", ["a"])
    stuck.may_finish.clear()
    plan = SetupPlan([stuck, after])
    running = asyncio.create_task(plan.run())
    await stuck.applying.wait()
    plan.skip("a")
    assert await running is ExitCode.OK
    assert states(plan) == {"a": StepState.SKIPPED, "b": StepState.READY}


async def test_an_unexpected_error_is_a_failure_of_that_step_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    start_logging(paths)

    class Broken(ScriptedStep):
        async def apply(self, report: Reporter) -> None:
            raise KeyError("surprise")

    plan = SetupPlan([Broken("a"), ScriptedStep("b")])
    assert await plan.run() is ExitCode.FAILED
    assert states(plan) == {"a": StepState.FAILED, "b": StepState.READY}
    assert "KeyError" in plan.statuses[0].detail
    assert "Traceback" in (paths.logs / "setup.log").read_text("utf-8")


async def test_output_is_kept_sanitized_and_logged(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    start_logging(paths)
    plan = SetupPlan([ScriptedStep("a")])
    seen: list[str] = []
    with plan.subscribe() as events:
        running = asyncio.create_task(plan.run())
        async for event in events:
            if isinstance(event, StepOutput):
                seen += event.lines
            if isinstance(event, PlanFinished):
                break
    await running
    assert seen == ["line of a"]
    assert plan.output("a") == ("line of a",)
    assert "[a] line of a" in (paths.logs / "setup.log").read_text("utf-8")


async def test_a_run_asked_for_during_the_first_check_still_applies() -> None:
    step = ScriptedStep("a")
    plan = SetupPlan([step])
    checking = asyncio.create_task(plan.check_all())
    await asyncio.sleep(0)
    running = asyncio.create_task(plan.run())
    await asyncio.gather(checking, running)
    assert running.result() is ExitCode.OK
    assert step.applied == 1


async def test_a_run_asked_for_half_way_through_the_first_check_reaches_every_step() -> None:
    class Held(ScriptedStep):
        """A step whose check waits until it may answer."""

        def __init__(self, step_id: str) -> None:
            super().__init__(step_id, done=True)
            self.may_answer = asyncio.Event()

        async def check(self) -> CheckResult:
            await self.may_answer.wait()
            return await super().check()

    quick, slow = Held("a"), Held("b")
    after = ScriptedStep("c", ["a", "b"])
    plan = SetupPlan([quick, slow, after])
    quick.may_answer.set()
    checking = asyncio.create_task(plan.check_all())
    await until(plan, "a", StepState.READY)
    # The quick step is launched again while the slow one is still at its first check.
    quick.may_answer.clear()
    running = asyncio.create_task(plan.run())
    await until(plan, "a", StepState.CHECKING)
    slow.may_answer.set()
    await until(plan, "b", StepState.READY)
    quick.may_answer.set()
    async with asyncio.timeout(30):
        await asyncio.gather(checking, running)
    assert states(plan)["c"] is StepState.READY
    assert after.applied == 1


def test_an_unknown_need_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown steps"):
        SetupPlan([ScriptedStep("a", ["nothing"])])


async def test_redo_applies_a_step_that_is_ready_and_what_needs_it() -> None:
    one, two, other = (
        ScriptedStep("one", done=True),
        ScriptedStep("two", ["one"]),
        ScriptedStep("other", done=True),
    )
    plan = SetupPlan([one, two, other])
    assert await plan.redo("one") is ExitCode.OK
    assert (one.applied, two.applied, other.applied) == (1, 1, 0)
    assert await plan.run() is ExitCode.OK
    assert one.applied == 1


async def test_redo_of_a_step_that_only_a_person_can_do_applies_nothing() -> None:
    class Blocked(ScriptedStep):
        async def check(self) -> CheckResult:
            return CheckResult.blocked("no engine", "Start it.")

    one = Blocked("one")
    assert await SetupPlan([one]).redo("one") is ExitCode.BLOCKED
    assert one.applied == 0
