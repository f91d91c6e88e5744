"""Setup: checked by itself, run by Enter, every step's fate told."""

from __future__ import annotations

from collections.abc import Callable

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices, step
from tests.app.seeing import screen_text, until, until_shown
from torbiz_tui.errors import TorbizError
from torbiz_tui.setup.step import CheckResult

Make = Callable[..., FakeServices]


async def test_it_looks_at_the_machine_by_itself_and_changes_nothing(with_steps: Make) -> None:
    one = step("one", "First step")()
    async with app_of(with_steps(one), "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "○ First step", "missing", "not set up yet")
        assert one.applied == 0


async def test_enter_brings_what_is_missing(with_steps: Make) -> None:
    one, two = step("one", "First step")(), step("two", "Second step", "one")()
    async with app_of(with_steps(one, two), "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "This machine is ready", "F2", "F3", "✓ Second step")


async def test_a_running_step_shows_its_progress_time_and_output(with_steps: Make) -> None:
    one = step("one", "First step")()
    one.gate.clear()
    one.lines = ("line with \x1b[2Jescape", "[red]markup[/red]", "token hf_abcdefghijklmnop")
    async with app_of(with_steps(one), "setup").run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "running", "45%", "half-way", "[red]markup[/red]", "1 s")
        shown = screen_text(pilot.app)
        assert "\x1b" not in shown
        assert "hf_abcdefghijklmnop" not in shown
        one.gate.set()
        await until_shown(pilot, "This machine is ready")


async def test_the_cursor_goes_along_with_what_is_done(with_steps: Make) -> None:
    one, two = step("one", "First step")(), step("two", "Second step", "one")()
    three = step("three", "Third step", "two")()
    two.gate.clear()
    three.gate.clear()
    async with app_of(with_steps(one, two, three), "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "Second step: running", "half-way")
        assert "Set up this machine" not in screen_text(pilot.app)
        # A person who looks at another step is left there.
        await pilot.press("up")
        await until_shown(pilot, "First step: ready")
        two.gate.set()
        await until_shown(pilot, "✓ Second step", "Setting up: Third step")
        assert "First step: ready" in screen_text(pilot.app)
        three.gate.set()
        await until_shown(pilot, "This machine is ready")


async def test_going_elsewhere_stops_nothing(with_steps: Make) -> None:
    one = step("one", "First step")()
    one.gate.clear()
    services = with_steps(one)
    async with app_of(services, "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "running")
        await pilot.press("f3")
        await until_shown(pilot, "Ask a question")
        assert services.setup.running
        one.gate.set()
        await pilot.press("f1")
        await until_shown(pilot, "This machine is ready")


async def test_cancel_and_retry(with_steps: Make) -> None:
    one = step("one", "First step")()
    one.gate.clear()
    async with app_of(with_steps(one), "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "running", "c Cancel")
        await pilot.press("c")
        await until_shown(pilot, "cancelled", "r Retry")
        one.gate.set()
        await pilot.press("r")
        await until_shown(pilot, "This machine is ready")


async def test_skip_lets_the_rest_go_on(with_steps: Make) -> None:
    one = step("one", "First step")(CheckResult.blocked("no whale", "Start [b]Docker[/b]."))
    two = step("two", "Second step", "one")()
    async with app_of(with_steps(one, two), "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "blocked", "Start [b]Docker[/b].", "only you can do")
        await pilot.press("s")
        await until_shown(pilot, "» First step", "skipped")
        await pilot.press("enter")
        await until_shown(pilot, "✓ Second step", "This machine is ready", "Skipped: First step")


async def test_a_failure_says_what_why_and_the_remedy(with_steps: Make) -> None:
    error = TorbizError("It broke.", why="No network.", remedy="Plug it in.")
    one, two = step("one", "Good")(CheckResult.ready()), step("two", "Bad")(error=error)
    async with app_of(with_steps(one, two), "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "✗ Bad: failed", "It broke. No network.", "→ Plug it in.")


async def test_leaving_asks_while_a_step_runs(with_steps: Make) -> None:
    one = step("one", "First step")()
    one.gate.clear()
    app = app_of(with_steps(one), "setup")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("enter")
        await until_shown(pilot, "running")
        await pilot.press("ctrl+q")
        await until_shown(pilot, "Setup is at work: First step.")
        await pilot.press("down", "enter")
        await until(pilot, lambda: app._exit, "left")
        one.gate.set()
