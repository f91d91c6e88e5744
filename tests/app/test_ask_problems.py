"""Ask: what is known of a failure is said, explained, and mended where the app can do it."""

from __future__ import annotations

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices, fake_services, step
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.environments.base import ExitReport
from torbiz_tui.inference.runner_connection import runner_died
from torbiz_tui.inference.runner_messages import read_error
from torbiz_tui.setup.step import CheckResult

CLOCK = "ValidationError: local time must be within 3 seconds  of others(local: 1, peer: 2)"
DIED = runner_died(
    ExitReport(code=1, last_lines=("Traceback:", "ImportError: cannot import name 'x' from 'y'"))
)


async def test_an_error_of_the_runner_is_explained(services: FakeServices) -> None:
    services.inference.error = read_error({"code": "internal", "message": CLOCK}, "m", 8)
    async with app_of(services).run_test(size=(100, 40)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, CLOCK, "The clock of this machine is wrong.", "F5 explains it")
        await pilot.press("escape")
        await until_gone(pilot, "F5 explains it")
        await pilot.press("f5")
        await until_shown(pilot, "What this line means", "→ ", "Close")
        await pilot.press("escape")
        services.inference.error = None
        await pilot.press("ctrl+r")
        await until_shown(pilot, "12.3 tokens/s")
        await until_gone(pilot, "F5 Explain")


async def test_a_runner_that_died_of_damaged_packages_is_installed_anew(
    services: FakeServices,
) -> None:
    stack = step("petals", "Petals and its stack")(CheckResult.ready("all there"))
    made = fake_services(services.paths.home, stack)
    made.inference.error = DIED
    async with app_of(made).run_test(size=(100, 40)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "The chat runner has died.", "packages of Petals are damaged")
        await pilot.press("f5")
        await until_shown(pilot, "Install Petals anew")
        await pilot.press("enter")
        await until_shown(pilot, "removed and installed anew")
        await until(pilot, lambda: stack.applied == 1, "installed although it was all there")
    await made.close()


async def test_what_keeps_the_runner_from_starting_is_explained(services: FakeServices) -> None:
    services.inference.warm_error = DIED
    async with app_of(services).run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "The chat runner has died. F5 explains it.")
        await pilot.press("f5")
        await until_shown(pilot, "The Python packages of Petals are damaged or incomplete.")


async def test_what_only_mends_a_server_is_not_offered_for_an_answer(
    services: FakeServices,
) -> None:
    report = ExitReport(signal="SIGKILL", out_of_memory=True)
    services.inference.error = runner_died(report)
    async with app_of(services).run_test(size=(100, 40)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "ran out of memory", "F5 explains it")
        await pilot.press("f5")
        await until_shown(pilot, "The machine, or the container, has less memory", "Close")
        assert "Share fewer blocks" not in screen_text(pilot.app)


async def test_weights_that_can_run_code_are_asked_about(services: FakeServices) -> None:
    services.inference.model = "acme/big"
    services.inference.pieces = ()
    refused = {
        "code": "pickled_weights",
        "message": "Its weights are pickled.",
        "why": "No others.",
    }
    services.inference.error = read_error(refused, "acme/big", 8)
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "are pickled.", "Load what may run code of its owner (acme)")
        await pilot.press("enter")
        await until_gone(pilot, "Load what may run code")
        await until_shown(pilot, "Its weights are pickled.")
        assert not services.inference.pickled_allowed
        await pilot.press("ctrl+r")
        await until_shown(pilot, "Load what may run code")
        services.inference.pieces = ("Petals ", "is ", "a swarm.")
        await pilot.press("right", "enter")
        await until_shown(pilot, "Petals is a swarm.", "12.3 tokens/s")
        assert services.inference.pickled_allowed
    assert {one[-1].content for one in services.inference.asked} == {"go"}


async def test_why_a_runner_cannot_get_ready_is_said_before_a_question(
    services: FakeServices,
) -> None:
    async with app_of(services).run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: services.inference.warmed > 0, "warmed")
        gated = {"code": "model_gated", "message": "acme/big is a gated model."}
        services.inference.refusal = read_error(gated, "acme/big", 8)
        services.inference.become("")
        await until_shown(pilot, "acme/big is a gated model.")
        services.inference.refusal = None
        services.inference.become("importing")
        await until_gone(pilot, "acme/big is a gated model.")
