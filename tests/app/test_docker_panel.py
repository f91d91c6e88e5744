"""The Docker panel of Setup, on an inventory that needs no engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.app.conftest import app_of
from tests.app.fakes import BOX, FakeInventory, FakeServices, step
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.errors import TorbizError
from torbiz_tui.setup.step import CheckResult

Make = Callable[..., FakeServices]


@pytest.fixture
def docker(with_steps: Make) -> FakeServices:
    services = with_steps(step("image", "Docker image")(CheckResult.ready("1.28 GB")))
    services.inventory = FakeInventory()
    return services


def panel(services: FakeServices, width: int = 80, height: int = 24) -> Any:
    app = app_of(services, "setup")
    running: AbstractAsyncContextManager[Pilot[None]] = app.run_test(size=(width, height))
    return running


async def open_panel(pilot: Pilot[Any]) -> None:
    await until_shown(pilot, "This machine is ready", "d Docker")
    await pilot.press("d")
    await until_shown(pilot, "Docker Engine 28.2.2", "Stop the container")


async def test_it_shows_what_the_engine_holds_and_whose_it_is(docker: FakeServices) -> None:
    async with panel(docker, 120, 36) as pilot:
        await open_panel(pilot)
        rows = screen_text(pilot.app).splitlines()
        ours = next(row for row in rows if "torbiz-petals-macos:latest" in row)
        foreign = next(row for row in rows if "database:16" in row)
        assert "ours, fresh" in ours
        assert "ours" not in foreign
        assert any("torbiz-petals-seeder" in row and "Up 3 minutes" in row for row in rows)
        assert any("docker exec -it torbiz-petals-seeder bash" in row for row in rows)


async def test_without_docker_there_is_no_key_for_it(with_steps: Make) -> None:
    async with panel(with_steps(step("one", "First step")())) as pilot:
        await until_shown(pilot, "missing")
        await pilot.press("d")
        assert "d Docker" not in screen_text(pilot.app)


async def test_stopping_the_container_says_how_it_ended(docker: FakeServices) -> None:
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await pilot.press("x")
        await until_shown(pilot, "is stopped (exit code 0)")
        await until_gone(pilot, "Up 3 minutes")


async def test_an_image_in_use_stays_and_says_who_uses_it(docker: FakeServices) -> None:
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await pilot.press("delete")
        await until_shown(pilot, "Remove the image torbiz-petals-macos:latest?")
        await pilot.press("right", "enter")
        await until_shown(pilot, "is in use", "Stop and remove them first")


async def test_the_answer_no_removes_nothing(docker: FakeServices) -> None:
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await pilot.press("delete")
        await until_shown(pilot, "Remove the image torbiz-petals-macos:latest?")
        await pilot.press("escape")
        await until_gone(pilot, "Remove the image torbiz-petals-macos:latest?")
        assert docker.inventory is not None
        assert docker.inventory.did == []


async def test_cleaning_shows_the_sizes_first(docker: FakeServices) -> None:
    assert docker.inventory is not None
    docker.inventory.containers = ()
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await pilot.press("c")
        await until_shown(pilot, "nothing else is touched", "Removing it frees 1.1 GB")
        assert docker.inventory.did == []
        await pilot.press("right", "enter")
        await until_shown(pilot, "Freed 1.1 GB")
        assert docker.inventory.did == ["clean"]


async def test_prune_is_explained_and_not_run(docker: FakeServices) -> None:
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await pilot.press("end", "enter")
        await until_shown(pilot, "It would remove database:16 too")
        assert docker.inventory is not None
        assert docker.inventory.did == []


async def test_rebuilding_goes_through_setup(docker: FakeServices) -> None:
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await pilot.press("b")
        await until_gone(pilot, "Stop the container")
        await until(pilot, lambda: "fetching" in screen_text(pilot.app), "the step's output")


async def test_an_engine_that_is_gone_is_said_in_the_panel(docker: FakeServices) -> None:
    assert docker.inventory is not None
    docker.inventory.error = TorbizError(
        "Docker is not running.", remedy="Start Docker Desktop.", code="docker_not_running"
    )
    async with panel(docker) as pilot:
        await until_shown(pilot, "This machine is ready")
        await pilot.press("d")
        await until_shown(pilot, "Docker is not running", "Start Docker Desktop")
        await pilot.press("escape")
        await until_gone(pilot, "Start Docker Desktop")


async def test_setup_says_what_lies_on_the_disk(docker: FakeServices) -> None:
    docker.storage.sizes = {"image": 1_280_000_000, "env": 950_000_000, "logs": None}
    async with panel(docker) as pilot:
        await until_shown(pilot, "On disk: image 1.3 GB · venv 950 MB")


async def test_a_paused_container_can_go_on(docker: FakeServices) -> None:
    assert docker.inventory is not None
    docker.inventory.containers = (replace(BOX, state="paused", status="Up 3 minutes (Paused)"),)
    async with panel(docker) as pilot:
        await open_panel(pilot)
        await until_shown(pilot, "(Paused)", "docker unpause torbiz-petals-seeder")
        await pilot.press("u")
        await until_shown(pilot, "The container goes on.")
        await until_gone(pilot, "(Paused)")


async def test_the_palette_has_the_actions_on_every_screen(docker: FakeServices) -> None:
    async with app_of(docker, "ask").run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "Ask a question")
        await pilot.press("ctrl+p")
        await pilot.press(*"explain docker")
        await until_shown(pilot, "Docker: explain docker system prune")
        await pilot.press("enter")
        await until_shown(pilot, "It would remove database:16 too")


async def test_without_docker_the_palette_has_none_of_them(with_steps: Make) -> None:
    async with app_of(with_steps(), "ask").run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "Ask a question")
        await pilot.press("ctrl+p")
        await until_shown(pilot, "Go to Setup")
        await pilot.press(*"docker")
        await until_gone(pilot, "Go to Setup")
        assert "Docker:" not in screen_text(pilot.app)
