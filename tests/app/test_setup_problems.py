"""Setup: a step that failed for a known reason is explained, and mended with a key."""

from __future__ import annotations

from collections.abc import Callable

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices, step
from tests.app.seeing import until, until_gone, until_shown
from torbiz_tui.errors import TorbizError
from torbiz_tui.setup.step import CheckResult
from torbiz_tui.sharing.state import Phase, SharingState

Make = Callable[..., FakeServices]
LINE = "ImportError: cannot import name '_refresh_per_optimizer_state' from 'torch.cuda'"


async def test_a_verification_that_failed_offers_to_install_the_stack_anew(
    with_steps: Make,
) -> None:
    stack = step("petals", "Petals and its stack")(CheckResult.ready("all there"))
    error = TorbizError("Petals cannot be imported.", why=LINE, remedy="Retry.")
    verify = step("verify", "Verification", "petals")(error=error)
    async with app_of(with_steps(stack, verify), "setup").run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "not set up yet")
        await pilot.press("enter")
        await until_shown(
            pilot,
            "Verification: failed",
            "hivemind is too old for this PyTorch.",
            "→ Let Setup install Petals anew",
            "F5 explains it",
            "F5 Explain",
        )
        await pilot.press("f5")
        await until_shown(pilot, "PyTorch 2.3 moved what", "Install Petals anew")
        verify.error = None
        await pilot.press("enter")
        await until_shown(pilot, "removed and installed anew", "This machine is ready.")
        assert (stack.applied, verify.applied) == (1, 2)
        await until_gone(pilot, "F5 explains it")


async def test_what_a_running_server_needs_is_not_taken_away(with_steps: Make) -> None:
    stack = step("petals", "Petals and its stack")(CheckResult.ready("all there"))
    verify = step("verify", "Verification", "petals")(
        error=TorbizError("Petals cannot be imported.", why=LINE)
    )
    services = with_steps(stack, verify)
    async with app_of(services, "setup").run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "not set up yet")
        await pilot.press("enter")
        await until_shown(pilot, "F5 explains it")
        services.sharing.become(SharingState(phase=Phase.SERVING))
        await pilot.press("f5")
        await until_shown(pilot, "Install Petals anew")
        await pilot.press("enter")
        await until_shown(pilot, "stop it first (F2, then x)")
        await until(pilot, lambda: not services.setup.running, "at rest")
        assert stack.applied == 0


async def test_the_palette_installs_it_anew_too(with_steps: Make) -> None:
    stack = step("petals", "Petals and its stack")(CheckResult.ready("all there"))
    app = app_of(with_steps(stack), "setup")
    async with app.run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "This machine is ready.")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: app.screen.query("Input"), "the palette")
        await pilot.press(*"petals anew")
        await until_shown(pilot, "Also when nothing is missing")
        await pilot.press("down", "enter")
        await until(pilot, lambda: stack.applied == 1, "installed although it was all there")
        await until_shown(pilot, "removed and installed anew")
