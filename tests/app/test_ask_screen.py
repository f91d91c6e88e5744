"""Ask: streaming, stopping, interruption, and nothing typed is ever lost."""

from __future__ import annotations

from dataclasses import replace

from textual.containers import VerticalScroll
from textual.widgets import Markdown

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import Message
from torbiz_tui.inference.service import not_served
from torbiz_tui.widgets.question_input import QuestionInput


async def test_a_question_is_answered_and_the_demo_is_labelled(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "demo model: knows only this program's documentation")
        await pilot.press(*"What is it?", "enter")
        await until_shown(pilot, "You", "What is it?", "Petals is a swarm.")
        await until_shown(pilot, "3 tokens · 12.3 tokens/s · first after 0.5 s")
    assert services.inference.asked == [[Message("user", "What is it?")]]


async def test_the_whole_conversation_is_sent_until_a_new_one(services: FakeServices) -> None:
    ask = replace(services.config.ask, system_prompt="Be brief.", max_new_tokens=9)
    services.config = replace(services.config, ask=ask)
    async with app_of(services).run_test(size=(80, 30)) as pilot:
        await pilot.press(*"one", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        await pilot.press(*"two", "enter")
        await until(pilot, lambda: len(services.inference.asked) == 2, "asked twice")
        await until(pilot, lambda: screen_text(pilot.app).count("12.3") == 2, "answered twice")
        await pilot.press("ctrl+n")
        await until_gone(pilot, "12.3")
        await pilot.press(*"three", "enter")
        await until(pilot, lambda: len(services.inference.asked) == 3, "asked again")
    system = Message("system", "Be brief.")
    answer = Message("assistant", "Petals is a swarm.")
    assert services.inference.asked[1] == [
        system,
        Message("user", "one"),
        answer,
        Message("user", "two"),
    ]
    assert services.inference.asked[2] == [system, Message("user", "three")]
    assert services.inference.options[0].max_new_tokens == 9


async def test_escape_stops_and_what_came_stays(services: FakeServices) -> None:
    services.inference.gate.clear()
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Petals is a swarm.", "Writing", "Escape stops it")
        await pilot.press("escape")
        await until_shown(pilot, "stopped by you", "Petals is a swarm.")


async def test_while_answering_a_second_question_waits_in_the_field(
    services: FakeServices,
) -> None:
    services.inference.gate.clear()
    app = app_of(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Writing")
        await pilot.press(*"next", "enter")
        await until_shown(pilot, "An answer is being written")
        assert app.screen.query_one(QuestionInput).text == "next"
        await pilot.press("ctrl+q")
        await until_shown(pilot, "Leave now?", "An answer is being written.")
        services.inference.gate.set()


async def test_an_interruption_keeps_the_part_that_came(services: FakeServices) -> None:
    services.inference.error = TorbizError("The runner died [/x].", remedy="Ask again.")
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Petals is a swarm.", "interrupted: The runner died [/x].")
        services.inference.error = None
        await pilot.press(*"again", "enter")
        await until_shown(pilot, "12.3 tokens/s")
    assert services.inference.asked[1][1] == Message("assistant", "Petals is a swarm.")


async def test_a_question_that_nobody_can_answer_stays_in_the_field(
    services: FakeServices,
) -> None:
    services.inference.pieces = ()
    services.inference.error = not_served("torbiz-demo", "It is empty.")
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Nobody serves torbiz-demo now.", "F2, or")
        assert app.screen.query_one(QuestionInput).text == "go"
        await pilot.press("escape")
        await until_gone(pilot, "Nobody serves")
        services.inference.pieces, services.inference.error = ("Fine.",), None
        await pilot.press("enter")
        await until_shown(pilot, "Fine.")
    assert services.inference.asked[1] == [Message("user", "go")]


async def test_the_stage_of_a_warming_runner_is_told(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: services.inference.warmed == 1, "warmed by typing")
        services.inference.become("importing")
        await until_shown(pilot, "Loading Petals… 0 s")
        services.inference.become("routing")
        await until_shown(pilot, "Finding servers…")
        services.inference.become("ready")
        await until_gone(pilot, "Finding servers")


async def test_new_lines_and_the_last_question(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.screen.query_one(QuestionInput)
        await pilot.press("a", "ctrl+j", "b", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        assert services.inference.asked[0][0].content == "a\nb"
        await pilot.press("up")
        assert field.text == "a\nb"
        field.clear()
        await pilot.press("enter")
        assert len(services.inference.asked) == 1


async def test_text_of_the_model_is_shown_and_never_acted_upon(services: FakeServices) -> None:
    services.inference.pieces = (
        "See [here](javascript:alert(1)) and <b>html</b> ",
        "[red]not red[/red] [@click=app.quit]click[/] ![img](http://x/y.png) <http://x.y>",
    )
    app = app_of(services)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press(*"[b]x[/b]", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        await until_shown(
            pilot,
            "[b]x[/b]",
            "[here](javascript:alert(1))",
            "<b>html</b>",
            "[red]not red[/red] [@click=app.quit]click[/]",
        )
        markdown = app.screen.query_one(Markdown)
        clickable = [
            segment
            for y in range(markdown.region.height)
            for segment in app.screen._compositor.render_strips(app.size)[markdown.region.y + y]
            if segment.style is not None and "@click" in segment.style.meta
        ]
        assert clickable == []


async def test_who_reads_above_is_not_pulled_down(services: FakeServices) -> None:
    services.inference.pieces = tuple(f"line {i}\n\n" for i in range(60))
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "line 59", "12.3")
        await pilot.press("pageup", "pageup")
        await until_gone(pilot, "line 59")
        conversation = app.screen.query_one("#conversation", VerticalScroll)
        stood = conversation.scroll_y
        services.inference.gate.clear()
        # The answer goes on below while the reader is above.
        markdown = app.screen.query(Markdown).last()
        await markdown.append("\n\nmore\n\nand more\n\n")
        await pilot.pause()
        assert conversation.scroll_y == stood
        services.inference.gate.set()


async def test_the_last_answer_is_copied_as_it_was_written(services: FakeServices) -> None:
    services.inference.pieces = ("**bold** `code`",)
    app = app_of(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3")
        await pilot.press("ctrl+y")
        await until_shown(pilot, "your terminal decides")
        assert app.clipboard == "**bold** `code`"
