"""Options of a conversation: checked, used, and kept with it."""

from __future__ import annotations

from textual.widgets import Input, Select, TextArea

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices, fake_services
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.inference.events import GenerateOptions, Message

SIZE = (120, 36)


async def test_a_value_is_checked_when_its_field_is_left(services: FakeServices) -> None:
    async with app_of(services).run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+o")
        await until_shown(pilot, "Temperature", "Top-p", "Max tokens", "Seed", "System prompt")
        await pilot.press("ctrl+u", *"warm", "tab")
        await until_shown(pilot, "Temperature “warm” is not", "Accepted is a number")
        await until_shown(pilot, "from 0 to 10")
        await pilot.press("shift+tab", "ctrl+u", *"0.7", "tab")
        await until_gone(pilot, "is not")
        await pilot.press("ctrl+u", *"0", "enter")
        await until_shown(pilot, "Top-p “0” is not accepted")


async def test_options_are_used_and_kept_with_their_conversation(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+o")
        await until_shown(pilot, "Temperature")
        await pilot.press("ctrl+u", *"0.7", "tab", "ctrl+u", *"0.9", "tab", "ctrl+u", *"33", "tab")
        await pilot.press(*"7", "tab", *"END\\n", "ctrl+j", "tab", *"Be brief.", "ctrl+o")
        await until_gone(pilot, "Temperature")
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3")
        assert services.inference.options[-1] == GenerateOptions(33, 0.7, 0.9, 7, ("END\n",))
        assert services.inference.asked[-1] == [
            Message("system", "Be brief."),
            Message("user", "go"),
        ]
        await pilot.press("ctrl+n", *"other", "enter")
        await until(pilot, lambda: len(services.inference.options) == 2, "asked")
        assert services.inference.options[-1] == GenerateOptions(512, 0.0, 1.0, None, ())
        await until_shown(pilot, "12.3")
        await pilot.press("ctrl+l", "down", "enter", "ctrl+o")
        await until_shown(pilot, "Temperature  0.7")
        assert app.screen.query_one("#system_prompt", TextArea).text == "Be brief."
    stored = await services.history.conversations()
    kept = await services.history.load(next(one.id for one in stored if one.title == "go"))
    assert kept.options == GenerateOptions(33, 0.7, 0.9, 7, ("END\n",))


async def test_an_adapter_is_one_of_its_conversation(services: FakeServices) -> None:
    async with app_of(services).run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+o")
        await until_shown(pilot, "Adapter")
        pilot.app.screen.query_one("#adapter", Input).focus()
        await pilot.press(*"a.b", "enter")
        await until_shown(pilot, "Adapter “a.b” is not accepted")
        await pilot.press("shift+tab", "ctrl+u", *"mine", "enter")
        await until_shown(pilot, "torbiz-demo with mine")
        await pilot.press("escape", *"go", "enter")
        await until_shown(pilot, "12.3")
        assert services.inference.options[-1].adapter == "mine"
        await pilot.press("ctrl+n", *"other", "enter")
        await until(pilot, lambda: len(services.inference.options) == 2, "asked")
        assert services.inference.adapter == "mine"
    stored = await services.history.conversations()
    kept = await services.history.load(next(one.id for one in stored if one.title == "go"))
    assert kept.options.adapter == "mine"


async def test_another_model_goes_on_with_the_conversation(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*"one", "enter")
        await until_shown(pilot, "12.3")
        warmed = services.inference.warmed
        await pilot.press("ctrl+t")
        await until_shown(pilot, "Which model answers?", "8 blocks, chosen now", "owner/big")
        await pilot.press("down", "enter")
        await until_shown(pilot, "from here on: owner/big")
        await until(pilot, lambda: services.inference.warmed > warmed, "its runner is started")
        assert services.inference.model == "owner/big"
        await pilot.press(*"two", "enter")
        await until(pilot, lambda: screen_text(app).count("12.3") == 2, "answered")
        assert screen_text(app).count("from here on: owner/big") == 1
        await pilot.press("ctrl+n", "ctrl+l", "enter")
        await until_shown(pilot, "from here on: owner/big", "two")


async def test_a_model_by_name_is_loaded_here_without_a_swarm(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+t")
        await until_shown(pilot, "owner/big")
        app.screen.query_one("#where", Select).value = True
        app.screen.query_one("#other", Input).focus()
        await pilot.press(*"owner/other", "enter")
        await until_shown(pilot, "owner/other · local, no swarm")
        assert (services.inference.model, services.inference.local) == ("owner/other", True)
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3 tokens/s")
    await services.close()

    # Where it is asked stays with the conversation when the program is begun anew.
    again = fake_services(services.paths.home)
    async with app_of(again).run_test(size=(80, 24)) as pilot:
        await until_gone(pilot, "local, no swarm")
        await pilot.press("ctrl+l")
        await until_shown(pilot, "go")
        await pilot.press("enter")
        await until_shown(pilot, "owner/other · local, no swarm")
        assert (again.inference.model, again.inference.local) == ("owner/other", True)
    await again.close()
