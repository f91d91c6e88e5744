"""The four screens as pictures, at the two sizes that the documentation shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.app.conftest import MODELS
from tests.app.fakes import FakeServices, fake_services, step
from tests.app.seeing import until_shown
from torbiz_tui import catalogue
from torbiz_tui.app import TorbizApp
from torbiz_tui.setup.step import CheckResult
from torbiz_tui.widgets.question_input import QuestionInput

SIZES = [(80, 24), (120, 36)]
Compare = Callable[..., bool]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    monkeypatch.setattr(catalogue, "known_models", lambda paths: list(MODELS))
    # A blinking cursor would be there in one picture and not in the next.
    monkeypatch.setattr(QuestionInput, "cursor_blink", False)
    return fake_services(
        tmp_path,
        step("home", "Folder and disk space")(CheckResult.ready("212 GB free")),
        step("python", "Python for Petals", "home")(CheckResult.ready("3.11.2")),
        step("stack", "Petals and its stack", "python")(),
        step("check", "Verification", "stack")(),
    )


def scene(*expected: str) -> Callable[[Pilot[Any]], Any]:
    async def play(pilot: Pilot[Any]) -> None:
        await until_shown(pilot, *expected)

    return play


@pytest.mark.parametrize("size", SIZES)
def test_setup(snap_compare: Compare, shown: FakeServices, size: tuple[int, int]) -> None:
    app = TorbizApp(shown.typed(), "setup")
    assert snap_compare(app, terminal_size=size, run_before=scene("not set up yet"))


@pytest.mark.parametrize("size", SIZES)
def test_share(snap_compare: Compare, shown: FakeServices, size: tuple[int, int]) -> None:
    app = TorbizApp(shown.typed(), "share")
    assert snap_compare(app, terminal_size=size, run_before=scene("8 blocks"))


@pytest.mark.parametrize("size", SIZES)
def test_ask(snap_compare: Compare, shown: FakeServices, size: tuple[int, int]) -> None:
    app = TorbizApp(shown.typed(), "ask")

    async def play(pilot: Pilot[Any]) -> None:
        await pilot.press(*"What?", "enter")
        await until_shown(pilot, "12.3 tokens/s")

    assert snap_compare(app, terminal_size=size, run_before=play)


@pytest.mark.parametrize("size", SIZES)
def test_logs(snap_compare: Compare, shown: FakeServices, size: tuple[int, int]) -> None:
    lines = [f"[{'WARNING' if n % 7 == 0 else 'INFO'}] entry {n}" for n in range(60)]
    (shown.paths.logs / "petals_seeder.log").write_text("\n".join(lines) + "\n")
    app = TorbizApp(shown.typed(), "logs")
    assert snap_compare(app, terminal_size=size, run_before=scene("entry 59", "following"))
