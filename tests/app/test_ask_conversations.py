"""The list of conversations: found, opened, renamed, deleted, brought back."""

from __future__ import annotations

from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.inference.conversations import Turn
from torbiz_tui.widgets.question_input import QuestionInput

WIDE, NARROW = (120, 30), (80, 24)


async def ask(pilot: Pilot[None], services: FakeServices, question: str, answer: str) -> None:
    services.inference.pieces = (answer,)
    await pilot.press(*question, "enter")
    await until_shown(pilot, answer, "12.3")


async def test_the_last_comes_first_and_is_gone_on_with(services: FakeServices) -> None:
    async with app_of(services).run_test(size=WIDE) as pilot:
        await ask(pilot, services, "apples", "Red.")
        await pilot.press("ctrl+n")
        await ask(pilot, services, "pears", "Green.")
        rows = screen_text(pilot.app)
        assert rows.index("pears") < rows.index("apples")
        await pilot.press("ctrl+l", "down", "enter")
        await until_shown(pilot, "Red.")
        await until_gone(pilot, "Green.")
        await ask(pilot, services, "more", "Ripe.")
    assert [message.content for message in services.inference.asked[-1]] == [
        "apples",
        "Red.",
        "more",
    ]


async def test_a_search_looks_into_messages_as_it_is_typed(services: FakeServices) -> None:
    async with app_of(services).run_test(size=WIDE) as pilot:
        await ask(pilot, services, "apples", "They are red as a brick.")
        await pilot.press("ctrl+n")
        await ask(pilot, services, "pears", "Green.")
        await pilot.press("ctrl+n", "ctrl+f", *"bri")
        await until(pilot, lambda: "pears" not in screen_text(pilot.app), "filtered")
        await until_shown(pilot, "apples", "brick")
        await pilot.press(*"xx")
        await until_shown(pilot, "Nothing found.")
        await pilot.press("escape")
        await until_shown(pilot, "pears", "apples")
        await pilot.press(*"brick")
        await until_gone(pilot, "pears")
        await pilot.press("enter")
        await until_shown(pilot, "12.3 tokens/s", "You")


async def test_a_search_that_comes_in_a_burst_is_no_order(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=WIDE) as pilot:
        await ask(pilot, services, "apples", "Red.")
        await pilot.press("ctrl+l")
        await until_shown(pilot, "Rename")
        for key, character in (("slash", "/"), ("r", "r"), ("e", "e"), ("d", "d")):
            app.post_message(events.Key(key, character))
        await until(pilot, lambda: app.screen.query_one("#search", Input).value == "red", "typed")
        await until_shown(pilot, "Red.")
    assert len(await services.history.conversations()) == 1


async def test_a_deleted_one_is_brought_back(services: FakeServices) -> None:
    async with app_of(services).run_test(size=WIDE) as pilot:
        await ask(pilot, services, "apples", "Red.")
        await pilot.press("ctrl+l", "d")
        await until_shown(pilot, "Deleted “apples”", "Ask a question below.")
        await until_gone(pilot, "• apples")
        await pilot.press("u")
        await until_gone(pilot, "Deleted")
        await until_shown(pilot, "apples")
        await pilot.press("enter")
        await until_shown(pilot, "Red.")


async def test_a_deleted_one_is_brought_back_in_another_visit_of_the_list(
    services: FakeServices,
) -> None:
    async with app_of(services).run_test(size=NARROW) as pilot:
        await ask(pilot, services, "apples", "Red.")
        await pilot.press("ctrl+l")
        await until_shown(pilot, "• apples")
        await pilot.press("delete")
        await until_shown(pilot, "Deleted “apples”")
        await pilot.press("escape")
        await until_shown(pilot, "Ask a question below.")
        await pilot.press("ctrl+l")
        await until_shown(pilot, "Deleted “apples”")
        await pilot.press("u")
        await until_gone(pilot, "Deleted")
        await pilot.press("enter")
        await until_shown(pilot, "Red.", "12.3")


async def test_another_title_is_shown_everywhere(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(140, 30)) as pilot:
        await ask(pilot, services, "apples", "Red.")
        await pilot.press("ctrl+l", "r")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input), "a field for the title")
        await pilot.press("escape", "r")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input), "a field for the title")
        await pilot.press("ctrl+u", *"Fruit [b]basket[/b]", "enter")
        await until(
            pilot, lambda: screen_text(pilot.app).count("Fruit [b]basket[/b]") == 2, "both places"
        )
    assert [summary.title for summary in await services.history.conversations()] == [
        "Fruit [b]basket[/b]"
    ]


async def test_titles_and_snippets_of_others_are_only_text(services: FakeServices) -> None:
    made = await services.history.create("m")
    await services.history.add_question(made.id, None, "[red]x[/] \x1b]0;evil\x07 \u202eabc word")
    async with app_of(services).run_test(size=WIDE) as pilot:
        await until_shown(pilot, "[red]x[/]")
        await pilot.press("ctrl+f", *"word")
        await until_shown(pilot, "[red]x[/]", "word")
        shown = screen_text(pilot.app)
        assert "\x1b" not in shown
        assert "\u202e" not in shown


async def test_drafts_stay_with_their_conversations(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=WIDE) as pilot:
        await ask(pilot, services, "apples", "Red.")
        await pilot.press(*"about apples", "ctrl+n")
        await ask(pilot, services, "pears", "Green.")
        field = app.screen.query_one(QuestionInput)
        assert field.text == ""
        await pilot.press(*"about pears", "ctrl+l", "down", "enter")
        await until(pilot, lambda: field.text == "about apples", "its own draft")
        await pilot.press("ctrl+l", "up", "enter")
        await until(pilot, lambda: field.text == "about pears", "its own draft")


async def test_earlier_questions_come_back_in_another_run(services: FakeServices) -> None:
    made = await services.history.create("m")
    first = await services.history.add_question(made.id, None, "first")
    assert isinstance(first, Turn)
    other = await services.history.create("m")
    await services.history.add_question(other.id, None, "second\nline")
    app = app_of(services)
    async with app.run_test(size=NARROW) as pilot:
        field = app.screen.query_one(QuestionInput)
        await until(pilot, lambda: services.history.file.exists(), "a history")
        await pilot.press(*"draft")
        await pilot.pause(0.2)
        await pilot.press("up")
        await until(pilot, lambda: field.text == "second\nline", "the newest")
        await pilot.press("up")
        assert field.text == "first"
        await pilot.press("up")
        assert field.text == "first"
        await pilot.press("down")
        assert field.text == "second\nline"
        await pilot.press("down", "down")
        assert field.text == "draft"


async def test_thousands_of_messages_open_at_once(services: FakeServices) -> None:
    made = await services.history.create("m", title="long one")
    parent = None
    for number in range(300):
        question = await services.history.add_question(made.id, parent, f"question {number}")
        parent = question.id
        parent = (
            await services.history.add_turn(
                made.id, Turn(0, parent, "assistant", f"answer {number}", model="m")
            )
        ).id
    async with app_of(services).run_test(size=WIDE) as pilot:
        await until_shown(pilot, "long one")
        await pilot.press("ctrl+l", "enter")
        await until_shown(pilot, "answer 299")
        await pilot.press("ctrl+g", "g")
        await until_shown(pilot, "question 0")
