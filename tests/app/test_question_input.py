"""The field: new lines, long pastes, and marks that stand for long texts."""

from __future__ import annotations

import time

import pytest
from textual import events

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.seeing import until
from torbiz_tui.inference.events import Message
from torbiz_tui.widgets.folding import Folds
from torbiz_tui.widgets.question_input import QuestionInput

LONG = "lorem ipsum " * 8_500
LINES = "some code here, indented\n" * 4_000


async def test_enter_sends_and_other_keys_begin_a_new_line(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "alt+enter", "d")
        field = app.screen.query_one(QuestionInput)
        assert field.text == "a\nb\nc\nd"
        field.clear()
        await pilot.press("enter")
        assert services.inference.asked == []


@pytest.mark.parametrize("text", [LONG, LINES, "x" * 100_000, "a\tb " * 25_000])
async def test_a_paste_of_100_kb_is_sent_whole_and_does_not_slow_typing(
    services: FakeServices, text: str
) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.screen.query_one(QuestionInput)
        await pilot.press(*"Look: ")
        field.post_message(events.Paste(text))
        await until(pilot, lambda: "characters]" in field.text, "pasted")
        began = time.process_time()
        await pilot.press(*" and this")
        # Wrapped whole, the paste would take 2 s of computing here.
        assert time.process_time() - began < 1.5
        await pilot.press("enter")
        await until(pilot, lambda: services.inference.asked, "asked")
    assert services.inference.asked[0] == [Message("user", f"Look: {text} and this")]


async def test_a_short_paste_is_text_like_any_other(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.screen.query_one(QuestionInput)
        field.post_message(events.Paste("one\r\ntwo"))
        await until(pilot, lambda: field.text == "one\ntwo", "pasted")


async def test_a_mark_is_deleted_as_a_whole(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.screen.query_one(QuestionInput)
        await pilot.press("a")
        field.post_message(events.Paste(LONG))
        await until(pilot, lambda: "characters]" in field.text, "pasted")
        await pilot.press("backspace")
        assert field.text == "a"


def test_what_is_folded_unfolds_to_itself() -> None:
    folds = Folds()
    mark = folds.fold_paste(LONG)
    assert len(mark) < 50
    for text in (
        f"before {LONG} after",
        f"{LONG}{LONG}",
        f"{LINES}x",
        "y" * 5_000 + "\nshort\n" + "z" * 5_000,
        "short",
    ):
        folded = folds.fold(text)
        assert len(folded) < 20_001
        assert folds.unfold(folded) == text


def test_a_mark_that_was_typed_is_only_text() -> None:
    folds = Folds()
    folds.fold_paste(LONG)
    typed = "[long text 2: 5 characters] [long text 1: 7 characters]"
    assert folds.unfold(typed) == typed
