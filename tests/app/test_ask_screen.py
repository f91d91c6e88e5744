"""Ask: streaming, stopping, asking again, and nothing that was said or typed is ever lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from textual.widgets import Input

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices, fake_services
from tests.app.seeing import screen_text, until, until_gone, until_matched, until_shown
from torbiz_tui import clipboard
from torbiz_tui.download import Download
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    AnswerStarted,
    Hop,
    Message,
    Recovered,
    Recovering,
    Route,
)
from torbiz_tui.inference.service import not_served
from torbiz_tui.widgets.question_input import QuestionInput
from torbiz_tui.widgets.transcript import Transcript

ROUTE = Route(8, (Hop(0, 4, "12D3Koo-alice", "alice"), Hop(4, 8, "12D3Koo-bobby")))


@pytest.fixture(autouse=True)
def _no_clipboard_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async def copy(text: str) -> bool:
        del text
        return False

    monkeypatch.setattr(clipboard, "copy_locally", copy)


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
        await until_gone(pilot, "Escape stops it")


async def test_while_answering_the_next_question_waits_its_turn(services: FakeServices) -> None:
    services.inference.gate.clear()
    app = app_of(services)
    async with app.run_test(size=(80, 30), notifications=True) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Writing")
        await pilot.press(*"next", "enter")
        await until_shown(pilot, "Asked next: “next”")
        await pilot.press(*"third", "enter")
        await until_shown(pilot, "An answer is being written")
        assert app.screen.query_one(QuestionInput).text == "third"
        services.inference.gate.set()
        await until(pilot, lambda: screen_text(pilot.app).count("12.3") == 2, "answered twice")
    assert [asked[-1].content for asked in services.inference.asked] == ["go", "next"]


async def test_what_waits_comes_back_when_the_answer_is_stopped(services: FakeServices) -> None:
    services.inference.gate.clear()
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Writing")
        await pilot.press(*"next", "enter")
        await pilot.press("escape")
        await until_shown(pilot, "stopped by you")
        await until(pilot, lambda: app.screen.query_one(QuestionInput).text == "next", "back")
    assert len(services.inference.asked) == 1


async def test_an_interruption_keeps_the_part_that_came_and_is_asked_again(
    services: FakeServices,
) -> None:
    services.inference.error = TorbizError("The runner died [/x].", remedy="Ask again.")
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Petals is a swarm.", "interrupted: The runner died [/x].")
        services.inference.error = None
        await pilot.press("ctrl+r")
        await until_shown(pilot, "12.3 tokens/s", "2/2")
    assert services.inference.asked[1] == [Message("user", "go")]


async def test_an_interrupted_answer_is_there_after_the_program_was_killed(
    services: FakeServices,
) -> None:
    services.inference.gate.clear()
    async with app_of(services).run_test(size=(120, 24)) as pilot:
        await pilot.press(*"go on", "enter")
        await until_shown(pilot, "Petals is a swarm.")
        await services.history.flush()
        # Nobody tells the history how the answer ended.
        await services.history.close()
    services.inference.gate.set()
    again = fake_services(services.paths.home)
    async with app_of(again).run_test(size=(120, 24)) as pilot:
        await until_shown(pilot, "go on")
        await pilot.press("ctrl+l", "enter")
        await until_shown(pilot, "Petals is a swarm.", "interrupted")
        await pilot.press("ctrl+r")
        await until_shown(pilot, "12.3 tokens/s", "2/2")
    await again.close()


async def test_a_question_that_nobody_can_answer_stays_in_the_field(
    services: FakeServices,
) -> None:
    services.inference.warm_error = not_served("torbiz-demo", "It is empty.")
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Nobody serves torbiz-demo now.", "F2, or")
        assert app.screen.query_one(QuestionInput).text == "go"
        await pilot.press("escape")
        await until_gone(pilot, "It is empty.")
        services.inference.pieces, services.inference.warm_error = ("Fine.",), None
        await pilot.press("enter")
        await until_shown(pilot, "Fine.")
    assert services.inference.asked == [[Message("user", "go")]]


async def test_a_question_without_any_answer_is_not_lost(services: FakeServices) -> None:
    services.inference.pieces = ()
    services.inference.error = TorbizError("The swarm is gone.")
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "not answered: The swarm is gone.")
        services.inference.pieces, services.inference.error = ("Fine.",), None
        await pilot.press("ctrl+r")
        await until_shown(pilot, "Fine.", "12.3 tokens/s")
        await until_gone(pilot, "not answered")


async def test_an_answer_says_what_it_was_made_of(services: FakeServices) -> None:
    services.inference.route = ROUTE
    async with app_of(services).run_test(size=(120, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3 tokens/s", "via alice → …-bobby")


async def test_the_search_for_another_server_is_shown(services: FakeServices) -> None:
    services.inference.pieces = ("One ", Recovering(4, 8))
    services.inference.gate.clear()
    async with app_of(services).run_test(size=(140, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_matched(pilot, r"Looking for another server for blocks 4–7… [\d.]+ s")
        services.inference.gate.set()
        await until_gone(pilot, "Looking for")
        services.inference.pieces = ("One ", Recovering(4, 8), Recovered(1.2, ROUTE), "two.")
        await pilot.press("ctrl+r")
        await until_shown(pilot, "One two.", "another server took over after 1.2 s")


async def test_a_question_is_changed_and_asked_anew_on_a_branch(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 30)) as pilot:
        await pilot.press(*"first", "enter")
        await until_shown(pilot, "12.3")
        await pilot.press(*"typed", "ctrl+g", "e")
        await until_shown(pilot, "Editing a question")
        field = app.screen.query_one(QuestionInput)
        assert field.text == "first"
        await pilot.press("escape")
        await until_gone(pilot, "Editing a question")
        assert field.text == "typed"
        field.clear()
        await pilot.press("ctrl+g", "e")
        await until_shown(pilot, "Editing a question")
        services.inference.pieces = ("Another.",)
        await pilot.press(*" changed", "enter")
        await until_shown(pilot, "first changed", "Another.", "2/2")
        await until_gone(pilot, "Petals is a swarm.")
        await pilot.press("ctrl+g", "K", "left_square_bracket")
        await until_shown(pilot, "Petals is a swarm.", "1/2")
        await pilot.press("right_square_bracket")
        await until_shown(pilot, "first changed", "2/2")
    assert services.inference.asked[1] == [Message("user", "first changed")]


async def test_an_answer_goes_on_while_another_conversation_is_shown(
    services: FakeServices,
) -> None:
    services.inference.gate.clear()
    async with app_of(services).run_test(size=(120, 30)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Writing")
        await pilot.press(*"draft", "ctrl+n")
        await until_shown(pilot, "Ask a question below.")
        await pilot.press("f1", "f3")
        services.inference.gate.set()
        await pilot.press("ctrl+l", "enter")
        await until_shown(pilot, "Petals is a swarm.", "12.3 tokens/s", "draft")


async def test_the_stages_of_a_warming_runner_are_told(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: services.inference.warmed == 1, "warmed by opening")
        services.inference.become("connecting")
        await until_shown(pilot, "Connecting to the swarm")
        going = Download(1_200_000_000, 3_400_000_000, 45_000_000, 49)
        services.inference.become("downloading", going)
        await until_shown(pilot, "Downloading: 1.2 of 3.4 GB, 45 MB/s, 49 s left")
        services.inference.become("downloading", replace(going, waiting="the connection was cut"))
        await until_shown(pilot, "1.2 of 3.4 GB, waiting: the connection was cut")
        services.inference.become("ready")
        await until_gone(pilot, "Downloading")


async def test_nothing_is_warmed_before_setup(services: FakeServices) -> None:
    services.can_ask = False
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "not installed yet: F1 sets this machine up")
        assert services.inference.warmed == 0
        await pilot.press("f1")
        services.can_ask = True
        await pilot.press("f3")
        await until(pilot, lambda: services.inference.warmed == 1, "warmed once it is set up")
        await until_gone(pilot, "not installed yet")


async def test_what_the_model_no_longer_reads_is_marked(services: FakeServices) -> None:
    app = app_of(services)

    def answered(times: int) -> bool:
        return screen_text(app).count("12.3") == times

    async with app.run_test(size=(80, 40)) as pilot:
        for number, dropped in enumerate((0, 2, 4)):
            services.inference.events = [AnswerStarted(50, 40, dropped, ROUTE)]
            await pilot.press(*f"q{number}", "enter")
            await until(pilot, partial(answered, number + 1), "answered")
        text = screen_text(app)
        assert text.count("the session is full") == 1
        assert text.index("q1") < text.index("the session is full") < text.index("q2")


async def test_a_failing_history_is_told_once_and_the_chat_goes_on(
    services: FakeServices,
) -> None:
    services.paths.history_file.mkdir()
    async with app_of(services).run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "history.db")
        await pilot.press("escape", *"go", "enter")
        await until_shown(pilot, "Petals is a swarm.", "12.3 tokens/s")


async def test_text_of_others_is_shown_and_never_acted_upon(services: FakeServices) -> None:
    services.inference.route = Route(8, (Hop(0, 8, "12D3Koo", "[red]a[/] \x1b]0;x\x07\u202eb"),))
    services.inference.pieces = (
        "See [here](javascript:alert(1)) and <b>html</b> ",
        "[red]not red[/red] [@click=app.quit]click[/] ![img](http://x/y.png) <http://x.y>",
    )
    app = app_of(services)
    async with app.run_test(size=(120, 24)) as pilot:
        services.inference.lead(services.inference.route)
        await until_shown(pilot, "[red]a[/]")
        await pilot.press(*"[b]x[/b]", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        await until_shown(pilot, "[b]x[/b]", "javascript:alert(1)", "<b>html</b>")
        await until_shown(pilot, "[red]not red[/red]", "[@click=app.quit]click[/]")
        strips = app.screen._compositor.render_strips(app.size)
        clickable = [
            segment
            for strip in strips[3:-1]
            for segment in strip
            if segment.style is not None and "@click" in segment.style.meta
        ]
        assert clickable == []
        assert "\x1b" not in screen_text(app)
        assert "\u202e" not in screen_text(app)


async def test_who_reads_above_is_not_pulled_down(services: FakeServices) -> None:
    services.inference.pieces = tuple(f"line {i}\n\n" for i in range(60))
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "line 59", "12.3")
        await pilot.press("pageup", "pageup")
        await until_gone(pilot, "line 59")
        transcript = app.screen.query_one(Transcript)
        stood = transcript.scroll_y
        await pilot.press(*"more", "enter")
        await until_shown(pilot, "new lines ↓")
        assert transcript.scroll_y == stood
        for _ in range(20):
            await pilot.press("pagedown")
        await until_shown(pilot, "line 59", "12.3")


async def test_messages_and_code_are_copied_as_they_were_written(services: FakeServices) -> None:
    services.inference.pieces = ("**bold**\n\n```py\none = 1\n```\n\n", "```\ntwo\n```\n")
    app = app_of(services)
    async with app.run_test(size=(80, 30), notifications=True) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3")
        await pilot.press("ctrl+y")
        await until_shown(pilot, "Answer", "your terminal decides")
        assert app.clipboard == "".join(map(str, services.inference.pieces))
        await pilot.press("ctrl+g", "c")
        await until_shown(pilot, "Code block 1 of 2")
        assert app.clipboard.strip() == "one = 1"
        await pilot.press("c")
        await until_shown(pilot, "Code block 2 of 2")
        assert app.clipboard.strip() == "two"
        await pilot.press("K", "y")
        await until_shown(pilot, "Question")
        assert app.clipboard == "go"


async def test_a_conversation_is_written_to_a_file_that_is_not_overwritten_unasked(
    services: FakeServices,
) -> None:
    target = services.paths.home / "out.md"
    target.write_text("mine")
    app = app_of(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3")
        await pilot.press("ctrl+g", "x")
        await until_shown(pilot, "Export the conversation", "torbiz-go.md")
        app.screen.query_one("#path", Input).value = str(target)
        await pilot.press("enter")
        await until_shown(pilot, "is there already", "Enter again overwrites it")
        assert target.read_text() == "mine"
        await pilot.press("enter")
        await until(pilot, lambda: "Petals is a swarm." in target.read_text(), "written")
        await until_shown(pilot, "Written")


async def test_leaving_says_what_of_the_running_answer_is_kept(services: FakeServices) -> None:
    services.inference.gate.clear()
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Writing")
        app.screen.query_one(QuestionInput).put("many words " * 20)
        await pilot.press("ctrl+q")
        await until_shown(pilot, "Your question is not sent yet", "what has come of it is kept")
        services.inference.gate.set()
