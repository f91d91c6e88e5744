"""Going about: keys, tabs, help, palette, leaving."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.app import TorbizApp, goodbye
from torbiz_tui.environments.base import ExitReport
from torbiz_tui.screens.leave import LeaveScreen
from torbiz_tui.sharing.state import Phase, SharingState, Stage
from torbiz_tui.widgets.question_input import QuestionInput

SERVING = SharingState(phase=Phase.SERVING, stage=Stage.SERVING, spec=SPEC, blocks=(0, 8))
TITLES = {
    "f1": "Set up this machine",
    "f2": "Start sharing",
    "f3": "Ask a question",
    "f4": "following",
}


async def test_function_keys_reach_every_screen_from_everywhere(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        for key in ("f2", "f4", "f1", "f3", "f2"):
            await pilot.press(key)
            await until_shown(pilot, TITLES[key])


async def test_what_became_due_while_drawing_was_held_back_is_drawn(services: FakeServices) -> None:
    """A footer that changes its keys can last longer than the pause when a screen is opened."""
    async with app_of(services, "setup").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, TITLES["f1"])
        app = pilot.app
        with app.batch_update():
            app.delay_update(0.01)
            app.screen.query_one("#actions").display = False
            # The screen sees that it may not draw, and the pause ends.
            await asyncio.sleep(0.2)
            assert TITLES["f1"] in screen_text(app)
        async with asyncio.timeout(30):
            while TITLES["f1"] in screen_text(app):
                await asyncio.sleep(0.01)


async def test_a_slow_look_for_a_server_is_waited_for(services: FakeServices) -> None:
    """An engine that wakes up answers late; it must not be asked anew before it has."""
    looks = 0
    answers = asyncio.Event()

    async def attach() -> SharingState:
        nonlocal looks
        looks += 1
        await answers.wait()
        services.sharing.become(SERVING)
        return SERVING

    services.sharing.attach = attach  # type: ignore[method-assign]
    async with app_of(services, "setup").run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, TorbizApp)
        async with asyncio.timeout(30):
            while not looks:
                await asyncio.sleep(0.01)
        for _ in range(3):
            app._look_again()
            await pilot.pause()
        assert looks == 1
        answers.set()
        await until(pilot, lambda: services.sharing.state.active)


async def test_digits_reach_screens_outside_text_fields(services: FakeServices) -> None:
    async with app_of(services, "setup").run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await until_shown(pilot, TITLES["f4"])
        await pilot.press("2")
        await until_shown(pilot, TITLES["f2"])


async def test_digits_and_question_marks_belong_to_the_text_field(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "2", "question_mark")
        await until_shown(pilot, "12?")
        assert app.current_mode == "ask"


async def test_the_header_says_where_and_whether_it_shares(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "native · private, new · not sharing", "DEMO")
        services.sharing.become(SERVING)
        await until_shown(pilot, "serving 0:8")
    async with app_of(services).run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "serving blocks 0:8")


@pytest.mark.parametrize("size", [(40, 10), (12, 4)])
async def test_no_size_is_too_small_to_go_on(services: FakeServices, size: tuple[int, int]) -> None:
    async with app_of(services, "setup").run_test(size=size) as pilot:
        services.sharing.become(replace(SERVING, addresses=("/ip4/1.2.3.4/tcp/1/p2p/Qm",)))
        await pilot.press("f2", "f3", "f4", "f10", "escape", "f1")
        await pilot.resize_terminal(80, 24)
        await until_shown(pilot, "F1 Setup", "F4 Logs", TITLES["f1"])


@pytest.mark.parametrize(
    ("first", "main_action"),
    [
        ("setup", "Set up this machine"),
        ("share", "Start sharing"),
        ("ask", "Ask a question"),
        ("logs", "Nothing logged yet"),
    ],
)
async def test_the_main_action_is_visible_at_40x10(
    services: FakeServices, first: str, main_action: str
) -> None:
    async with app_of(services, first).run_test(size=(40, 10)) as pilot:
        await until_shown(pilot, main_action)


async def test_help_tells_the_keys_of_the_screen(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 36)) as pilot:
        await pilot.press("f10")
        await until_shown(pilot, "Help: Ask", "Stop the answer")
        await pilot.press("end")
        await until_shown(pilot, "Go to Logs", "Ctrl+P")
        await pilot.press("escape")
        await until_gone(pilot, "Help: Ask")
        await pilot.press("f1")
        await pilot.press("question_mark")
        await until_shown(pilot, "Help: Setup", "Try the selected step again")


async def test_the_palette_goes_by_the_state(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 30)) as pilot:
        await pilot.press("ctrl+p")
        await until_shown(pilot, "Start sharing", "Go to Logs", "New conversation")
        await pilot.press("escape")
        services.sharing.become(replace(SERVING, addresses=("/ip4/1.2.3.4/tcp/1/p2p/Qm",)))
        await until_shown(pilot, "serving 0:8")
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert "Stop sharing" in titles
        assert "Copy the invite address" in titles
        assert "Start sharing" not in titles


async def test_leaving_asks_nothing_when_nothing_would_be_lost(services: FakeServices) -> None:
    services.sharing.become(SERVING)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"short", "ctrl+q")
        await until(pilot, lambda: app._exit, "left")
    assert "torbiz-tui stop" in goodbye(services.sharing.state)


async def test_leaving_asks_before_a_long_text_is_lost(services: FakeServices) -> None:
    services.sharing.become(SERVING)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        app.screen.query_one(QuestionInput).put("many words " * 20)
        await pilot.press("ctrl+q")
        await until_shown(pilot, "Your question is not sent yet", "goes on sharing")
        await pilot.press("escape")
        await until_gone(pilot, "Leave now?")
        assert "many words" in screen_text(app)
        await pilot.press("ctrl+q", "ctrl+q")
        assert isinstance(app.screen, LeaveScreen)
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: app._exit, "left")
    assert services.sharing.stopped == 1
    assert goodbye(services.sharing.state) == ""


async def test_the_death_of_the_server_is_told_on_every_screen(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24), notifications=True) as pilot:
        services.sharing.become(SERVING)
        await until_shown(pilot, "serving 0:8")
        services.sharing.become(
            SharingState(
                phase=Phase.FAILED,
                spec=SPEC,
                failure="It ran out of memory [red]now[/red].",
                exit_report=ExitReport(out_of_memory=True, last_lines=("Killed [@click=x]y",)),
            )
        )
        await until_shown(pilot, "has ended", "[red]now[/red]", "Killed [@click=x]y", "failed")


async def test_an_unknown_theme_is_told_with_the_known_ones(services: FakeServices) -> None:
    interface = replace(services.config.interface, theme="no-such-theme")
    services.config = replace(services.config, interface=interface)
    async with app_of(services).run_test(size=(100, 30), notifications=True) as pilot:
        await until_shown(pilot, "no-such-theme", "textual-dark", "nord")


async def test_keys_can_be_changed_and_help_says_so(services: FakeServices) -> None:
    interface = replace(services.config.interface, keys={"go.logs": "f8", "nonsense": "x"})
    services.config = replace(services.config, interface=interface)
    app = app_of(services)
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await until_shown(pilot, "Unknown: nonsense")
        await pilot.press("f8")
        await until(pilot, lambda: app.current_mode == "logs", "went to the logs")
        await pilot.press("f10")
        await until_shown(pilot, "F8 ")
