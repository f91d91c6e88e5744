"""Logs: several as one, two panes, places kept, and nothing done while nobody looks."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.logs_seen import CHAT, SEEDER, numbered, timed, write
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.screens.logs import LogsScreen


def watching() -> bool:
    return any(thread.name == "watch files" for thread in threading.enumerate())


async def test_all_logs_are_one_by_time(services: FakeServices) -> None:
    write(services, timed(1, "server one") + timed(3, "server three"))
    write(services, timed(2, "chat two"), CHAT)
    async with app_of(services, "logs").run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "server three")
        await pilot.press("left")
        await until_shown(pilot, "all logs", "chat two")
        rows = [row for row in screen_text(pilot.app).splitlines() if "[INFO]" in row]
        assert [row.split()[0] for row in rows] == ["seeder", "inference", "seeder"]
        assert ["one" in rows[0], "two" in rows[1], "three" in rows[2]] == [True] * 3
        write(services, timed(4, "chat four"), CHAT)
        await until_shown(pilot, "chat four")
        write(services, timed(5, "from elsewhere"), "other.log")
        await until_shown(pilot, "other", "from elsewhere")


async def test_some_logs_are_chosen_to_be_one(services: FakeServices) -> None:
    write(services, timed(1, "server one"))
    write(services, timed(2, "chat two"), CHAT)
    write(services, timed(3, "other three"), "other.log")
    async with app_of(services, "logs").run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "server one")
        await pilot.press("M")
        await until_shown(pilot, "Merge logs by time")
        await pilot.press("down", "space", "enter")
        await until_shown(pilot, "seeder + other", "server one", "other three")
        assert "chat two" not in screen_text(pilot.app)


async def test_two_panes_have_their_own_log_filter_and_place(services: FakeServices) -> None:
    write(services, "".join(timed(number) for number in range(100)))
    write(services, timed(1, "chat one") + timed(2, "chat two", "ERROR"), CHAT)
    async with app_of(services, "logs").run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "entry 99.")
        await pilot.press("s")
        await until_shown(pilot, "entry 99.", "chat one", "chat two", CHAT)
        rows = screen_text(pilot.app).splitlines()
        assert any("entry" in row and "chat" in row for row in rows), "side by side"
        await pilot.press("tab", "f", *"level:error", "enter")
        await until_gone(pilot, "chat one")
        await until_shown(pilot, "entry 99.", "chat two", "error and above")
        await pilot.press("tab", "g")
        await until_shown(pilot, "entry 0.", "chat two")
        write(services, timed(3, "chat 3", "ERROR"), CHAT)
        await until_shown(pilot, "entry 0.", "chat 3")
        await pilot.press("s")
        await until_gone(pilot, "chat 3")
        await pilot.press("s")
        await until_shown(pilot, "entry 0.", "chat 3", "error and above")


async def test_in_a_narrow_terminal_the_panes_are_above_each_other(
    services: FakeServices,
) -> None:
    write(services, numbered(0, 100))
    write(services, "of the chat\n", CHAT)
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 99.")
        await pilot.press("s")
        await until_shown(pilot, "entry 99.", "of the chat")
        rows = screen_text(pilot.app).splitlines()
        first = next(at for at, row in enumerate(rows) if "entry 99." in row)
        assert next(at for at, row in enumerate(rows) if "of the chat" in row) > first


async def test_the_place_and_the_filter_are_kept(services: FakeServices) -> None:
    write(services, "".join(timed(number) for number in range(300)))
    write(services, "of the chat\n", CHAT)
    async with app_of(services, "logs").run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "entry 299.")
        await pilot.press("f", *"entry 1", "enter", "g", "pagedown")
        await until_gone(pilot, "entry 299.")
        await until_shown(pilot, "111 lines")
        before = screen_text(pilot.app)
        await pilot.press("right")
        await until_shown(pilot, "of the chat")
        assert "entry 1" not in screen_text(pilot.app)
        await pilot.press("left")
        await until(pilot, lambda: screen_text(pilot.app) == before, "as it was")
        await pilot.press("f3")
        await until_gone(pilot, "Source")
        await pilot.press("f4")
        await until(pilot, lambda: screen_text(pilot.app) == before, "as it was")


async def test_hidden_it_watches_nothing_and_has_no_thread(services: FakeServices) -> None:
    write(services, numbered(0, 3))
    app = app_of(services, "logs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 2.")
        await pilot.press("s")
        await until(pilot, watching, "watches")
        logs = app.screen
        assert isinstance(logs, LogsScreen)
        await pilot.press("f1")
        await until(pilot, lambda: not watching(), "watches nothing")
        looked: list[str] = []
        for slot in (logs.slot,):
            slot.look = lambda: looked.append("slot")  # type: ignore[method-assign]
        write(services, numbered(3, 200))
        await asyncio.sleep(0.5)
        assert not looked
        del logs.slot.look
        await pilot.press("f4")
        await until_shown(pilot, "entry 199.")
        await until(pilot, watching, "watches again")


async def test_a_log_that_is_rotated_goes_on(services: FakeServices) -> None:
    write(services, numbered(0, 3))
    log = services.paths.logs / SEEDER
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 2.")
        log.rename(log.with_name(f"{SEEDER}.1"))
        write(services, numbered(3, 5))
        await until_shown(pilot, "entry 0.", "entry 4.", "5 lines · following")


async def test_sources_come_and_one_that_vanishes_stays_while_it_is_read(
    services: FakeServices,
) -> None:
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Nothing logged yet")
        write(services, "of another\n", "another.log")
        write(services, "of a third\n", "third.log")
        await until_shown(pilot, "another", "third")
        await pilot.press("left", "left", "left")
        await until_shown(pilot, "of another")
        for name in ("another.log", "third.log"):
            (services.paths.logs / name).unlink()
        await until_gone(pilot, "third")
        await until_shown(pilot, " another ", "of another")


async def test_a_log_that_cannot_be_read_says_why(services: FakeServices) -> None:
    (services.paths.logs / SEEDER).mkdir()
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "It cannot be read.", SEEDER)


async def test_what_was_cleared_comes_back(services: FakeServices) -> None:
    write(services, numbered(0, 3))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 2.")
        await pilot.press("c")
        await until_shown(pilot, "C shows all")
        write(services, numbered(3, 4))
        await until_shown(pilot, "entry 3.")
        assert "entry 2." not in screen_text(pilot.app)
        await pilot.press("C")
        await until_shown(pilot, "entry 0.", "entry 3.")
        assert "C shows all" not in screen_text(pilot.app)


async def test_exporting_what_is_shown(services: FakeServices, tmp_path: Path) -> None:
    write(services, timed(1) + timed(2, "broken hf_abcdefghijklmn", "ERROR"))
    target = tmp_path / "taken.log"
    async with app_of(services, "logs").run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "entry 1.")
        await pilot.press("f", *"level:error", "enter")
        await until_gone(pilot, "entry 1.")
        await pilot.press("x")
        await until_shown(pilot, "1 line of petals_seeder.log: error and above.")
        await pilot.press("ctrl+u", *str(target), "enter")
        await until_gone(pilot, "Export what is shown")
        written = target.read_text()
        assert "broken [redacted]" in written
        assert "entry" not in written
        target.write_text("precious")
        await pilot.press("x")
        await until_shown(pilot, "Export what is shown")
        await pilot.press("ctrl+u", *str(target), "enter")
        await until_shown(pilot, "exists.", "Enter again replaces it.")
        assert target.read_text() == "precious"
        await pilot.press("enter")
        await until_gone(pilot, "Export what is shown")
        assert target.read_text() == written
        assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["taken.log"]


async def test_lines_are_marked_and_copied_as_they_stand_in_the_log(
    services: FakeServices,
) -> None:
    write(services, numbered(0, 100) + f"long {'x' * 200} hf_abcdefghijklmn\n")
    app = app_of(services, "logs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "long x")
        await pilot.press("K", "v", "K", "y")
        await until(pilot, lambda: app.clipboard, "copied")
        assert app.clipboard == f"[INFO] entry 99.\nlong {'x' * 200} [redacted]"
        await pilot.press("m", "g")
        await until_shown(pilot, "entry 0.")
        await pilot.press("u")
        await until_shown(pilot, "◆", "entry 99.")
