"""The four screens as pictures, at the two sizes that the documentation shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.app.conftest import MACHINE, MODELS
from tests.app.fakes import FakeServices, fake_services, step
from tests.app.seeing import until_shown
from torbiz_tui import catalogue, hardware
from torbiz_tui.app import TorbizApp
from torbiz_tui.inference.events import Hop, Route
from torbiz_tui.setup.step import CheckResult
from torbiz_tui.widgets import conversation_list
from torbiz_tui.widgets.question_input import QuestionInput

SIZES = [(80, 24), (120, 36)]
ROUTE = Route(8, (Hop(0, 4, "12D3KooWvYA3Rn", "alice"), Hop(4, 8, "12D3KooWqPz7wK")))
ANSWER = """Petals runs a model over **several machines**: each holds some *blocks* of it.

```python
blocks = range(0, 8)
```

- a server offers blocks
- a client asks them in turn
"""
Compare = Callable[..., bool]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    monkeypatch.setattr(catalogue, "known_models", lambda paths: list(MODELS))
    monkeypatch.setattr(hardware, "look", lambda: MACHINE)
    # Colours are those of any terminal, not of the one that the tests run in.
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", "truecolor")
    # A blinking cursor would be there in one picture and not in the next.
    monkeypatch.setattr(QuestionInput, "cursor_blink", False)
    # So would the age of what was just said.
    monkeypatch.setattr(conversation_list, "span", lambda _seconds: "3 min")
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
    assert snap_compare(app, terminal_size=size, run_before=scene("auto: all 8", "$ docker run"))


@pytest.mark.parametrize("size", SIZES)
def test_ask(snap_compare: Compare, shown: FakeServices, size: tuple[int, int]) -> None:
    app = TorbizApp(shown.typed(), "ask")

    shown.inference.pieces = (ANSWER,)

    async def play(pilot: Pilot[Any]) -> None:
        shown.inference.lead(ROUTE)
        await pilot.press(*"What is Petals?", "enter")
        await until_shown(pilot, "12.3 tokens/s", "0–3 via alice")
        if size[0] > 100:
            await until_shown(pilot, "• What is Petals?")

    assert snap_compare(app, terminal_size=size, run_before=play)


@pytest.mark.parametrize("size", SIZES)
def test_logs(snap_compare: Compare, shown: FakeServices, size: tuple[int, int]) -> None:
    lines = [f"[{'WARNING' if n % 7 == 0 else 'INFO'}] entry {n}" for n in range(60)]
    (shown.paths.logs / "petals_seeder.log").write_text("\n".join(lines) + "\n")
    app = TorbizApp(shown.typed(), "logs")
    assert snap_compare(app, terminal_size=size, run_before=scene("entry 59", "following"))
