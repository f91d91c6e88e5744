"""Logs: searched, filtered, gone to a moment and to errors."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import pytest

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.logs_seen import numbered, timed, write
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.logs import query
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.views import WholeView
from torbiz_tui.screens.logs import LogsScreen
from torbiz_tui.widgets.log_bars import LogFilterBar
from torbiz_tui.widgets.log_search import PaneSearch


async def test_searching_finds_while_it_is_typed_and_escape_goes_back(
    services: FakeServices,
) -> None:
    write(services, numbered(0, 300))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 299.")
        await pilot.press("slash", *"entry", "space", *"17.")
        await until_shown(pilot, "[INFO] entry 17.", "match 1 of 1 lines")
        await pilot.press("escape")
        await until_shown(pilot, "entry 299.", "following")
        assert "match" not in screen_text(pilot.app)


async def test_the_count_is_told_as_if_by_the_pane(tmp_path: Path) -> None:
    """What it starts then (a timer) has to know its app: leaving failed otherwise."""
    file = tmp_path / "a.log"
    file.write_text("word\n" * 100)
    series = LogSeries(file)
    told: list[str] = []
    caller = ContextVar("caller", default="nobody")
    caller.set("pane")
    search = PaneSearch(WholeView(series), Query("word"), lambda: told.append(caller.get()))
    caller.set("another")
    search.count()
    async with asyncio.timeout(30):
        while not told:
            await asyncio.sleep(0.01)
    assert set(told) == {"pane"}
    search.close()
    series.close()


async def test_an_expression_that_takes_for_ever_is_named(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("_LINE_S", "_PIECE_S", "_DRAWN_S"):
        monkeypatch.setattr(query, limit, 0.02)
    write(services, "a" * 80 + "b\n")
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "aaab")
        await pilot.press("slash", "ctrl+r", *"(a|aa)+$", "enter")
        await until_shown(pilot, "The expression '(a|aa)+$' takes too long.")
        await pilot.press("escape", "f", *"/(a|aa)+$/", "enter")
        await until_shown(pilot, "The expression '(a|aa)+$' takes too long.", "/(a|aa)+$/ ·")


async def test_capitals_matter_where_there_are_any(services: FakeServices) -> None:
    write(services, "a Word\na word\n")
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "a word")
        await pilot.press("slash", *"word", "enter")
        await until_shown(pilot, "of 2 lines")
        await pilot.press("slash", *"Word", "enter")
        await until_shown(pilot, "match 1 of 1 lines")


async def test_a_regular_expression_and_what_is_wrong_with_it(services: FakeServices) -> None:
    write(services, numbered(0, 300))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 299.")
        await pilot.press("slash", "ctrl+r", *"entry 2[0")
        await until_shown(pilot, "Regex", "is no regular expression")
        await pilot.press(*"-4]\\.", "enter")
        await until_shown(pilot, "of 5 lines")
        await pilot.press("slash", "escape", "slash", "up")
        await until_shown(pilot, "entry 2[0-4]\\.")


async def test_a_filter_says_what_it_lets_through_and_lets_through_what_comes(
    services: FakeServices,
) -> None:
    write(services, timed(1) + timed(2, "slow", "WARNING") + timed(3, "broken", "ERROR"))
    write(services, "Traceback (most recent call last):\n  File x\nValueError: gone\n")
    write(services, timed(4))
    async with app_of(services, "logs").run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "entry 4.")
        await pilot.press("f", *"level:warning", "enter")
        await until_shown(pilot, "slow", "broken", "ValueError: gone", "warning and above")
        assert "entry 4." not in screen_text(pilot.app)
        write(services, timed(5) + timed(6, "worse", "CRITICAL"))
        await until_shown(pilot, "worse", "6 lines")
        assert "entry 5." not in screen_text(pilot.app)
        await pilot.press("F")
        await until_shown(pilot, "entry 5.", "(off)")
        await pilot.press("F")
        await until_gone(pilot, "entry 5.")
        await pilot.press("f", "ctrl+u", "enter")
        await until_shown(pilot, "entry 5.", "9 lines")
        assert "warning and above" not in screen_text(pilot.app)


async def test_several_filters_together(services: FakeServices) -> None:
    write(services, "".join(timed(number) for number in range(60)))
    write(services, timed(60, "entry 33 again", "INFO", "hivemind.dht"))
    async with app_of(services, "logs").run_test(size=(110, 24)) as pilot:
        await until_shown(pilot, "entry 59.")
        filters = "since:2026-03-05T12:30 until:2026-03-05T12:39 /entry 3[2-4]/ source:petals"
        await pilot.press("f", *filters, "enter")
        await until_shown(pilot, "3 lines", "entry 32.", "entry 33.", "entry 34.")
        assert "again" not in screen_text(pilot.app)
        assert "since 2026-03-05 12:30" in screen_text(pilot.app)


async def test_a_wrong_filter_is_named_and_stays_to_be_mended(services: FakeServices) -> None:
    write(services, timed(1) + timed(2, "bad", "ERROR"))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "bad")
        await pilot.press("f", *"level:eror", "enter")
        await until_shown(pilot, "level:eror: there is no such level, did you mean error?")
        assert pilot.app.screen.query_one(LogFilterBar).text == "level:eror"
        await until_shown(pilot, "entry 1.")
        await pilot.press("backspace", "backspace", *"ror", "enter")
        await until_shown(pilot, "1 line ", "error and above")


async def test_a_filter_that_nothing_fits_says_so(services: FakeServices) -> None:
    write(services, timed(1))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 1.")
        await pilot.press("f", *"level:error", "enter")
        await until_shown(pilot, "No line is error and above. F shows all lines.")


async def test_going_to_a_moment(services: FakeServices) -> None:
    write(services, "".join(timed(number) for number in range(500)))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 499.")
        await pilot.press("t", *"half past", "enter")
        await until_shown(pilot, "is no time")
        await pilot.press("ctrl+u", *"2026-03-05 14:02", "enter")
        await until_shown(pilot, "▌", "entry 122.")
        await pilot.press("t", *"2026-04-01", "enter")
        await until_shown(pilot, "entry 499.", "following")


async def test_errors_one_after_the_other_and_around(services: FakeServices) -> None:
    lines = [timed(number) for number in range(200)]
    for number in (20, 90, 150):
        lines[number] = timed(number, f"failure {number}", "ERROR")
    lines[90] += "Traceback (most recent call last):\n  File x\nValueError: gone\n"
    write(services, "".join(lines))
    app = app_of(services, "logs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 199.")

        def at(expected: str) -> bool:
            assert isinstance(app.screen, LogsScreen)
            line = app.screen.slot.pane.cursor_line
            return line is not None and line.data.decode().endswith(f"] {expected}")

        for key, expected in (
            ("e", "failure 20"),
            ("e", "failure 90"),
            ("e", "failure 150"),
            ("e", "failure 20"),
            ("E", "failure 150"),
            ("E", "failure 90"),
        ):
            await pilot.press(key)
            await until(pilot, partial(at, expected), expected)
            await until_shown(pilot, expected)
