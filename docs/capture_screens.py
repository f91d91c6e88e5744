"""Make the pictures in docs/screens: the real app on the real demo, at two sizes.

python docs/capture_screens.py [docker]

With `docker` those of hosting in Docker alone, which need an engine; what to build the image on is
taken from TORBIZ_DOCKER_BASE_IMAGE.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.pilot import Pilot

    Until = Callable[..., Awaitable[None]]
    Save = Callable[[Pilot[None], str], Awaitable[None]]

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Captured in the first, shown as the second, which is as long.
HOME, SHOWN_HOME = Path("/tmp/home"), "/home/ada"  # noqa: S108
SIZES = ((80, 24), (120, 36))
QUESTION = "How do I join a private swarm?"
TIMEOUT_S = 120.0


async def capture(home: Path, *, docker: bool) -> None:
    """Walk through the screens and save each at both sizes."""
    from tests.app.seeing import screen_text
    from torbiz_tui.app import TorbizApp
    from torbiz_tui.assembly import build_services
    from torbiz_tui.config import load_config
    from torbiz_tui.logs.writing import start_logging
    from torbiz_tui.paths import Paths

    paths = Paths(home)
    paths.ensure()
    start_logging(paths)
    python = "/usr/bin/python3.11"
    values: dict[str, object] = {"demo": True, "environment": "docker" if docker else "native"}
    if Path(python).exists():
        values["petals.python"] = python
    environ = {name: value for name, value in os.environ.items() if "TORBIZ_DOCKER" in name}
    services = build_services(load_config(paths.config_file, values, environ).config, paths)
    app = TorbizApp(services, "setup")

    async def until(pilot: Pilot[None], *texts: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not all(text in screen_text(app) for text in texts):
            if time.monotonic() > deadline:
                raise SystemExit(f"never seen: {texts}\n{screen_text(app)}")
            await pilot.pause(0.05)

    async def save(pilot: Pilot[None], name: str) -> None:
        folder = ROOT / "docs" / "screens"
        folder.mkdir(exist_ok=True)
        for columns, rows in SIZES:
            await pilot.resize_terminal(columns, rows)
            await pilot.pause(0.5)
            title = f"torbiz-tui: {name}"
            file = folder / f"{name}-{columns}x{rows}.svg"
            picture = app.export_screenshot(title=title).replace(str(HOME), SHOWN_HOME)
            file.write_text(picture, encoding="utf-8")

    async with app.run_test(size=SIZES[1]) as pilot:
        await until(pilot, "Set up this machine")
        await pilot.press("enter")
        await until(pilot, "This machine is ready")
        await save(pilot, "setup-docker" if docker else "setup")
        await pilot.press("f2")
        await until(pilot, "Start sharing", "auto: all 8", "$ …/python")
        if not docker:
            await save(pilot, "share-form")
        await pilot.press("ctrl+s")
        await until(pilot, "Sharing torbiz-demo")
        if docker:
            await pilot.press("f1", "d")
            await until(pilot, "Stop the container")
            await save(pilot, "docker-panel")
        else:
            await walk_on(pilot, until, save)
    await services.sharing.stop()
    await services.close()


async def walk_on(pilot: Pilot[None], until: Until, save: Save) -> None:
    """Ask, look at what is shared, and at a log."""
    await pilot.press("f3")
    await until(pilot, "demo model")
    for question in ("What is Petals?", QUESTION):
        await pilot.press(*question, "enter")
        await until(pilot, question)
        await until(pilot, "tokens/s")
        await pilot.pause(2.0)
    await save(pilot, "ask")
    await pilot.press("f2")
    await until(pilot, "Sharing torbiz-demo")
    await save(pilot, "share")
    await pilot.press("m")
    await until(pilot, "Whole: all 8 blocks")
    await save(pilot, "swarm")
    await pilot.press("escape")
    await pilot.press("f4")
    await until(pilot, "petals_seeder.log")
    await save(pilot, "logs")


def main() -> int:
    """Capture in a home folder of its own, so that the pictures show nobody's paths."""
    from torbiz_tui import paths

    HOME.mkdir()
    try:
        checkout = HOME / "torbiz-tui"
        for name in ("runner_scripts", "images"):
            shutil.copytree(ROOT / name, checkout / name)
        paths.bundled = lambda: checkout  # type: ignore[assignment]
        os.environ["HOME"] = str(HOME)
        asyncio.run(capture(HOME / ".torbiz", docker="docker" in sys.argv[1:]))
    finally:
        shutil.rmtree(HOME)
    return 0


if __name__ == "__main__":
    sys.exit(main())
