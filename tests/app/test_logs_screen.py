"""Logs: following, never yanked, searched, and harmless."""

from __future__ import annotations

import gc

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.logs_seen import numbered, write
from tests.app.seeing import screen_text, until_gone, until_shown
from torbiz_tui.widgets.log_text import ShownLine


async def test_it_follows_and_starts_when_the_file_appears(services: FakeServices) -> None:
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Nothing logged yet")
        write(services, numbered(0, 100))
        await until_shown(pilot, "entry 99.", "100 lines · following")
        write(services, numbered(100, 101))
        await until_shown(pilot, "entry 100.")


async def test_who_has_scrolled_up_is_not_yanked(services: FakeServices) -> None:
    write(services, numbered(0, 100))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 99.")
        await pilot.press("g")
        await until_shown(pilot, "entry 0.", "not following")
        write(services, numbered(100, 103))
        await until_shown(pilot, "3 new lines below", "entry 0.")
        await pilot.press("G")
        await until_shown(pilot, "entry 102.", "· following")


async def test_hidden_it_rests_and_goes_on_where_it_stopped(services: FakeServices) -> None:
    write(services, numbered(0, 3))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 2.")
        await pilot.press("f1")
        await until_shown(pilot, "Set up this machine")
        write(services, numbered(3, 6))
        await pilot.press("f4")
        await until_shown(pilot, "entry 2.", "entry 3.", "entry 5.", "6 lines")


async def test_sources_are_changed_by_arrows_and_brackets(services: FakeServices) -> None:
    write(services, "of the server\n")
    write(services, "of the chat\n", "petals_inference.log")
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "of the server")
        await pilot.press("right")
        await until_shown(pilot, "of the chat", "petals_inference.log")
        await pilot.press("left_square_bracket")
        await until_shown(pilot, "of the server")


async def test_hostile_lines_are_shown_as_text(services: FakeServices) -> None:
    write(
        services,
        "a\x1b[2Jb \x1b]0;title\x07 [red]r[/red] [@click=app.quit]c[/] \x9b31m hf_abcdefghijkl\n",
    )
    async with app_of(services, "logs").run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "[red]r[/red] [@click=app.quit]c[/]", "[redacted]")
        shown = screen_text(pilot.app)
        assert not {"\x1b", "\x07", "\x9b"} & set(shown)


async def test_long_lines_are_wrapped_or_not(services: FakeServices) -> None:
    write(services, f"begin {'x' * 200} end-of-line\n")
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "begin", "end-of-line")
        await pilot.press("w")
        await until_gone(pilot, "end-of-line")
        await pilot.press("w")
        await until_shown(pilot, "end-of-line")


async def test_search_goes_from_match_to_match(services: FakeServices) -> None:
    write(services, numbered(0, 300))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 299.")
        await pilot.press("slash", *"[info]", "space", *"entry", "space", *"10.", "enter")
        await until_shown(pilot, "entry 10.", "match 1 of 1 lines")
        await pilot.press("slash", "escape")
        await until_gone(pilot, "match")
        await pilot.press("slash", *"7.", "enter", "n")
        await until_shown(pilot, "of 30 lines")
        await pilot.press("slash", *"nowhere", "enter")
        await until_shown(pilot, "not found")


async def test_clearing_the_view_leaves_the_file(services: FakeServices) -> None:
    write(services, numbered(0, 3))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 2.")
        await pilot.press("c")
        await until_gone(pilot, "entry 2.")
        write(services, numbered(3, 4))
        await until_shown(pilot, "entry 3.", "1 line · following")
    assert "entry 0." in (services.paths.logs / "petals_seeder.log").read_text()


async def test_the_pane_keeps_a_bounded_number_of_lines(services: FakeServices) -> None:
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Nothing logged yet")
        write(services, numbered(0, 60_000))
        await until_shown(pilot, "entry 59999.", "60,000 lines")
        await pilot.press(*["pageup"] * 80, "g")
        await until_shown(pilot, "entry 0.")
        gc.collect()
        kept = sum(isinstance(one, ShownLine) for one in gc.get_objects())
        assert 0 < kept <= 1_000
