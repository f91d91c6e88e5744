"""A step that failed says what is known of why."""

from __future__ import annotations

import pytest

from tests.app.fakes import step
from torbiz_tui.environments.docker.build_failures import build_failure
from torbiz_tui.environments.docker.build_output import BuildOutput
from torbiz_tui.environments.uv_command import explain_uv_failure
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.setup.plan import SetupPlan, StepState, StepStatus
from torbiz_tui.troubleshooting.symptom import Action

CONFLICT = "ImportError: cannot import name '_refresh_per_optimizer_state' from 'torch.cuda'"
NOT_IMPORTED = TorbizError("Petals cannot be imported.", why="It broke.", remedy="Try again.")


async def failed(error: TorbizError, *printed: str, in_container: bool = False) -> StepStatus:
    made = step("one", "First step")
    made.in_container = in_container
    one = made(error=error)
    one.lines = printed
    plan = SetupPlan([one])
    await plan.run()
    return plan.statuses[0]


async def test_the_evidence_of_the_error_tells_why() -> None:
    error = TorbizError(
        "Petals cannot be imported.", why=CONFLICT, remedy="Try again.", details=("Traceback:",)
    )
    status = await failed(error)
    assert status.state is StepState.FAILED
    assert status.detail.startswith(f"Petals cannot be imported. {CONFLICT}")
    assert "hivemind is too old for this PyTorch." in status.detail
    assert "in the versions that fit together" in status.instruction
    assert status.known is not None
    assert (status.known.line, status.known.action) == (CONFLICT, Action.REINSTALL_STACK)


async def test_what_the_tools_printed_tells_why() -> None:
    error = TorbizError("The step ended.", remedy="Try again.")
    status = await failed(error, "one", "OSError: [Errno 28] No space left on device", "two")
    assert status.known is not None
    assert status.known.symptom.id == "disk_full"
    assert "The disk is full." in status.detail


@pytest.mark.parametrize(
    ("in_container", "action"), [(False, Action.REINSTALL_STACK), (True, Action.REBUILD_IMAGE)]
)
async def test_what_cannot_be_imported_is_mended_where_it_is(
    in_container: bool, action: Action
) -> None:
    status = await failed(NOT_IMPORTED, in_container=in_container)
    assert status.known is not None
    assert status.known.action is action


async def test_what_was_printed_before_is_not_looked_at_again() -> None:
    one = step("one", "First step")(error=TorbizError("It ended."))
    one.lines = ("OSError: [Errno 28] No space left on device",)
    plan = SetupPlan([one])
    await plan.run()
    assert plan.statuses[0].known is not None
    one.lines = ()
    await plan.retry("one")
    assert plan.statuses[0].state is StepState.FAILED
    assert plan.statuses[0].known is None


async def test_an_error_made_from_a_symptom_keeps_its_words() -> None:
    error = explain_uv_failure(["error: No space left on device (os error 28)"], 2)
    status = await failed(error)
    assert status.detail == " ".join((error.what, error.why))
    assert status.instruction == error.remedy
    assert status.known is not None
    assert status.known.action is Action.FREE_DISK


async def test_a_build_of_the_image_that_failed_is_known() -> None:
    output = BuildOutput()
    output.error = "failed: No space left on device"
    output.steps, output.step, output.instruction = 9, 4, "RUN uv pip install"
    status = await failed(build_failure(output), in_container=True)
    assert status.known is not None
    assert status.known.symptom.id == "build_disk_full"


async def test_what_waits_for_the_person_has_its_own_words() -> None:
    error = BlockedError("No Python.", remedy="Install one.", details=(CONFLICT,))
    status = await failed(error)
    assert (status.state, status.known, status.instruction) == (
        StepState.BLOCKED,
        None,
        "Install one.",
    )
