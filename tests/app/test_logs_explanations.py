"""Logs: lines with a known meaning, what is said of them, and what the app can do."""

from __future__ import annotations

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeInventory, FakeServices
from tests.app.logs_seen import CHAT, MEMORY, timed, write
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.inference.events import Hop, Route
from torbiz_tui.screens.share import ShareScreen
from torbiz_tui.sharing.state import Phase, SharingState


async def test_a_known_line_is_marked_and_explained(services: FakeServices) -> None:
    write(services, timed(1) + timed(2, MEMORY, "ERROR") + timed(3))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "entry 3.", "!2026-03-05")
        await pilot.press("enter")
        await until_shown(
            pilot, "The blocks do not fit into memory.", "→ Serve fewer blocks.", MEMORY[:27]
        )
        await pilot.press("escape")
        await until_gone(pilot, "What this line means")
        await until_shown(pilot, "entry 3.")


async def test_the_click_on_the_mark_explains(services: FakeServices) -> None:
    write(services, timed(1) + timed(2, MEMORY, "ERROR"))
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "!2026-03-05")
        rows = screen_text(pilot.app).splitlines()
        at = next(row for row, text in enumerate(rows) if text[1:2] == "!")
        await pilot.click(offset=(1, at))
        await until_shown(pilot, "The blocks do not fit into memory.")


async def test_fewer_blocks_are_a_key_away(services: FakeServices) -> None:
    write(services, timed(2, MEMORY, "ERROR"))
    app = app_of(services, "logs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "!2026-03-05")
        await pilot.press("enter")
        await until_shown(pilot, "Share fewer blocks")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ShareScreen), "went to Share")
        await until(
            pilot, lambda: app.focused is not None and app.focused.id == "blocks", "the field"
        )
        await until_shown(pilot, "do not fit into memory. Share fewer blocks.")


async def test_while_it_hosts_the_form_opens_over_the_server(
    services: FakeServices,
) -> None:
    write(services, timed(2, MEMORY, "ERROR"))
    app = app_of(services, "logs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "!2026-03-05")
        services.sharing.become(SharingState(phase=Phase.SERVING, spec=SPEC))
        await pilot.press("enter")
        await until_shown(pilot, "Share fewer blocks")
        await pilot.press("enter")
        await until_shown(pilot, "Restart with these", "Share fewer blocks. The server goes on")
        assert app.focused is not None
        assert app.focused.id == "blocks"


async def test_missing_blocks_are_chosen_on_share(services: FakeServices) -> None:
    write(services, timed(2, "MissingBlocksError: No servers holding blocks [4, 5]", "ERROR"), CHAT)
    services.inference.route = Route(8, (Hop(0, 4, "12D3KooWvYA3Rn", "alice"),), ((4, 8),))
    app = app_of(services, "logs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "!2026-03-05")
        await pilot.press("enter")
        await until_shown(pilot, "Share the missing blocks")
        await pilot.press("enter")
        await until_shown(pilot, "4:8", "Nobody serves blocks 4")


async def test_what_the_app_cannot_do_here_is_not_offered(services: FakeServices) -> None:
    line = timed(2, "docker: No such image: torbiz-petals-macos:latest", "ERROR")
    write(services, line)
    async with app_of(services, "logs").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "!2026-03-05")
        await pilot.press("enter")
        await until_shown(pilot, "Docker image not found.", "Close")
        assert "Build the image anew" not in screen_text(pilot.app)


async def test_the_disk_is_freed_on_the_docker_panel(services: FakeServices) -> None:
    services.inventory = FakeInventory()
    write(services, timed(2, "OSError: [Errno 28] No space left on device", "ERROR"))
    async with app_of(services, "logs").run_test(size=(100, 36)) as pilot:
        await until_shown(pilot, "!2026-03-05")
        await pilot.press("enter")
        await until_shown(pilot, "Free disk space")
        await pilot.press("enter")
        await until_shown(pilot, "Docker", "torbiz-petals-macos:latest")
