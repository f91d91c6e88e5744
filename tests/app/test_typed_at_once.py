"""Keys that come all at once, as over a slow connection, do what they do one by one."""

from __future__ import annotations

from textual import events
from textual.app import App

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.logs_seen import numbered, write
from tests.app.seeing import until, until_shown
from torbiz_tui.inference.events import Message
from torbiz_tui.widgets.question_input import QuestionInput


def type_at_once(app: App[None], *typed: str) -> None:
    """Give the app the keys as the terminal does, without waiting for what they do."""
    for key in typed:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_a_question_behind_the_key_for_a_new_conversation_is_asked_in_it(
    services: FakeServices,
) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"one", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        type_at_once(pilot.app, *"draft", "ctrl+n", *"two", "enter")
        await until(pilot, lambda: len(services.inference.asked) == 2, "asked twice")
    assert services.inference.asked[1] == [Message("user", "two")]


async def test_a_pasted_question_goes_where_the_key_before_it_led(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"one", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        type_at_once(pilot.app, "ctrl+n")
        pilot.app.post_message(events.Paste("two\nlines"))
        type_at_once(pilot.app, "enter")
        await until(pilot, lambda: len(services.inference.asked) == 2, "asked twice")
    assert services.inference.asked[1] == [Message("user", "two\nlines")]


async def test_a_search_word_behind_its_key_is_searched_for(services: FakeServices) -> None:
    write(services, numbered(0, 300))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 299.")
        type_at_once(pilot.app, "slash", *"17.")
        await until_shown(pilot, "Search 17.", "[INFO] entry 217.", "match 3 of 3 lines")


async def test_keys_go_on_when_the_widget_that_had_them_is_gone(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Ask a question")
        type_at_once(pilot.app, "f4", "f3", *"abc", "f10", "escape", *"def")
        field = pilot.app.screen.query_one(QuestionInput)
        await until(pilot, lambda: field.text == "abcdef", "typed in order")


async def test_a_question_behind_the_key_that_opens_ask_first_is_whole(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Start sharing")
        type_at_once(pilot.app, "f3", *"abc", "enter")
        await until(pilot, lambda: services.inference.asked, "asked")
    assert services.inference.asked[0] == [Message("user", "abc")]
