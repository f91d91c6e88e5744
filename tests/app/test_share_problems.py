"""Share: a known problem of the server has a name, an explanation, and what mends it."""

from __future__ import annotations

import time

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeInventory, FakeServices, fake_services, step
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.environments.base import ExitReport
from torbiz_tui.errors import TorbizError
from torbiz_tui.setup.step import CheckResult
from torbiz_tui.sharing.ending import explain_end, known_end
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.state import Phase, SharingState, Stage

CLOCK = "ValidationError: local time must be within 3 seconds  of others(local: 1, peer: 2)"
MEMORY = "torch.cuda.OutOfMemoryError: CUDA out of memory [x]"


def ended(line: str) -> SharingState:
    """A server that ended before it served, and this was its last line."""
    state = SharingState(phase=Phase.STARTING, spec=SPEC)
    report = ExitReport(code=1, last_lines=("Traceback:", line))
    failure, remedy = explain_end(state, report)
    return SharingState(
        phase=Phase.FAILED,
        spec=SPEC,
        failure=failure,
        remedy=remedy,
        exit_report=report,
        ended_by=known_end(state, report),
    )


async def test_a_line_of_the_log_that_is_known_is_named_and_explained(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "8 blocks")
        assert "F5 Explain" not in screen_text(pilot.app)
        state = SharingState(
            phase=Phase.STARTING, stage=Stage.CONNECTING, spec=SPEC, started_at=time.time()
        )
        services.sharing.become(take_line(state, CLOCK))
        await until_shown(pilot, "! The clock of this machine is wrong.", "F5 explains it", CLOCK)
        await until_shown(pilot, "F5 Explain")
        await pilot.press("f5")
        await until_shown(pilot, "Peers accept each other only if their clocks", "→ ", "Close")
        await pilot.press("escape")
        await until_gone(pilot, "Peers accept each other")


async def test_a_server_that_a_known_problem_ended_offers_what_mends_it(
    services: FakeServices,
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "8 blocks")
        services.sharing.become(ended(MEMORY))
        await until_shown(
            pilot,
            "ended before it was serving. The blocks do not fit into memory.",
            "attention cache need more",
            "→ Serve fewer blocks.",
            "F5 explains it",
        )
        await pilot.press("f5")
        await until_shown(pilot, "Share fewer blocks")
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "blocks", "field")
        await until_shown(pilot, "do not fit into memory. Share fewer blocks.")


async def test_a_warning_of_a_server_that_serves_opens_the_restart_at_its_field(
    services: FakeServices,
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "8 blocks")
        state = SharingState(phase=Phase.SERVING, stage=Stage.SERVING, spec=SPEC)
        services.sharing.become(take_line(state, "Detected a NAT or a firewall"))
        await until_shown(pilot, "! This server is reached through relays.")
        await pilot.press("f5")
        await until_shown(pilot, "Announce in the form of Share", "Share with other settings")
        await pilot.press("enter")
        await until_shown(pilot, "Restart with these", "Give the outer address and port")
        assert app.focused is not None
        assert app.focused.id == "announce"
        # One that is about to end has no settings to change.
        services.sharing.become(SharingState(phase=Phase.STOPPING, spec=SPEC))
        await until_shown(pilot, "Stopping torbiz-demo")
    assert services.sharing.stopped == 0


async def test_a_token_that_is_missing_is_given_one_key_away(services: FakeServices) -> None:
    line = (
        "Download failed (token_missing): owner/big is gated, and no token was given."
        " Why: Its owner wants to know who takes it. What to do: Give a token."
    )
    app = app_of(services, "share")
    async with app.run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "8 blocks")
        services.sharing.become(ended(line))
        await until_shown(pilot, "→ Give a token.", "e opens the form at the field")
        await pilot.press("e")
        await until_shown(pilot, "✗ owner/big is gated, and no token was given.")
        assert app.focused is not None
        assert app.focused.id == "hub_token"


async def test_damaged_packages_are_installed_anew_on_setup(services: FakeServices) -> None:
    stack = step("petals", "Petals and its stack")(CheckResult.ready("all there"))
    made = fake_services(services.paths.home, stack)
    async with app_of(made, "share").run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "8 blocks")
        made.sharing.become(ended("ModuleNotFoundError: No module named 'hivemind'"))
        await until_shown(pilot, "packages of Petals are damaged")
        await pilot.press("f5")
        await until_shown(pilot, "Install Petals anew")
        await pilot.press("enter")
        await until_shown(pilot, "removed and installed anew")
        await until(pilot, lambda: stack.applied == 1, "installed although it was all there")
    await made.close()


async def test_an_engine_that_refuses_to_start_it_is_explained(services: FakeServices) -> None:
    services.inventory = FakeInventory()
    services.sharing.error = TorbizError(
        "The disk is full (starting the container).",
        why="write /var/lib: no space left on device",
        remedy="Free some.",
        symptom="engine_disk_full",
    )
    async with app_of(services, "share").run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "8 blocks")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "no space left on device", "F5 explains it")
        await pilot.press("f5")
        await until_shown(pilot, "Docker has no disk space left.", "Free disk space")
        await pilot.press("escape")
        await until_gone(pilot, "Docker has no disk space left.")
        await pilot.press("escape")
        await until_gone(pilot, "F5 explains it")
