"""The table of keys is what the documentation says, and what the screens bind."""

from __future__ import annotations

from pathlib import Path

from tests.app.conftest import app_of
from tests.app.fakes import FakeServices
from tests.app.seeing import until_shown
from torbiz_tui.screens.ask import AskScreen
from torbiz_tui.screens.logs import LogsScreen
from torbiz_tui.screens.setup import SetupScreen
from torbiz_tui.screens.share import ShareScreen
from torbiz_tui.widgets import keys

DOCUMENT = Path(__file__).parents[2] / "docs" / "keys.md"


def test_every_key_is_documented_as_it_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for group in keys.GROUPS.values():
        for shown, does, name in keys.rows(group, {}):
            assert f"| {shown} | {does} | `{name}` |" in text


def test_every_binding_has_a_name_of_its_own_and_a_tooltip() -> None:
    bindings = [binding for group in keys.GROUPS.values() for binding in group]
    assert all(binding.id and binding.tooltip for binding in bindings)
    names = [binding.id for binding in bindings]
    assert len(names) == len(set(names))


def test_the_screens_bind_what_the_table_says() -> None:
    for screen, group in (
        (SetupScreen, keys.SETUP),
        (ShareScreen, keys.SHARE),
        (AskScreen, keys.ASK),
        (LogsScreen, keys.LOGS),
    ):
        assert list(screen.BINDINGS) == group


async def test_function_keys_stand_in_capitals_as_on_the_keyboard(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(120, 30)) as pilot:
        await until_shown(pilot, "Start sharing", "m Map", "F10 Help")
        pilot.app.query_one("#blocks").focus()
        # A letter is text now, and the other key of the map is told.
        await until_shown(pilot, "F9 Map")
