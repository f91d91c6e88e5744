"""Seeing the app as a person does: the screen as plain text, and waiting for what it shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

# When a wait is given up, which a machine that works on the screen never comes to.
DEADLINE_S = 30.0


def screen_text(app: App[Any]) -> str:
    """The rows of the terminal as they are shown now."""
    width, height = app.size
    rows = app.screen._compositor.render_strips(app.size)[:height]
    return "\n".join(row.crop(0, width).text for row in rows)


async def until(
    pilot: Pilot[Any],
    condition: Callable[[], object],
    what: str = "",
    *,
    within_s: float | None = None,
) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + (DEADLINE_S if within_s is None else within_s)
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}\n{screen_text(pilot.app)}")
        await pilot.pause(0.01)


async def until_shown(pilot: Pilot[Any], *texts: str) -> None:
    """Wait until the screen shows all the texts."""
    await until(
        pilot,
        lambda: all(text in screen_text(pilot.app) for text in texts),
        f"shown: {texts}",
    )


async def until_matched(pilot: Pilot[Any], pattern: str) -> None:
    """Wait until the screen shows what the regular expression describes, such as any time."""
    await until(pilot, lambda: re.search(pattern, screen_text(pilot.app)), f"shown: {pattern}")


async def until_gone(pilot: Pilot[Any], text: str) -> None:
    """Wait until the screen does not show the text."""
    await until(pilot, lambda: text not in screen_text(pilot.app), f"gone: {text}")
