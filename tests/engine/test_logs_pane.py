"""The container's log in the app's Logs: followed while it pours out, whole when all is over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.app.seeing import screen_text, until, until_shown
from tests.engine.serving import docker_services
from torbiz_tui.app import TorbizApp
from torbiz_tui.environments.docker.image import LABEL_ROLE
from torbiz_tui.environments.docker.records import ROLE_SEEDER
from torbiz_tui.logs.views import LineView
from torbiz_tui.logs.writing import write_failures
from torbiz_tui.screens.logs import LogsScreen

pytestmark = pytest.mark.engine

MANY = 200_000
# Machines that run tests are slow, and busy.
WITHIN_S = 60.0


@pytest.fixture
def printing(
    client: docker.DockerClient, base_image: str, engine_name: Callable[[str], str]
) -> Iterator[Container]:
    """A container as one that hosts; it prints many numbered lines once it is told to, and ends."""
    container = client.containers.run(
        base_image,
        ["sh", "-c", f"echo first; until test -e /go; do sleep 0.1; done; seq 1 {MANY}"],
        name=engine_name("pane"),
        labels={LABEL_ROLE: ROLE_SEEDER},
        detach=True,
        network_mode="none",
    )
    yield container
    with contextlib.suppress(docker.errors.APIError):
        container.remove(force=True)


def texts(view: LineView | None) -> list[str]:
    """The lines of a view without their stamps, and without headings."""
    assert view is not None
    lines = [line.data.decode() for line in view.lines(0, view.count)]
    return [line.partition(" ")[2] for line in lines if not line.startswith("==== ")]


async def test_every_line_arrives_once_and_in_order_and_the_pane_follows(
    client: docker.DockerClient, printing: Container, tmp_path: Path
) -> None:
    services = docker_services(tmp_path / "home", "none", str(printing.name))
    services.paths.ensure()
    app = TorbizApp(services, "logs")
    write_failures.clear()
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LogsScreen), "Logs is shown")
        logs = app.screen
        assert isinstance(logs, LogsScreen)
        await until(pilot, lambda: logs.slot.reading, "a log is read")
        await logs.show_source("container")
        await until_shown(pilot, "container.log", " first", "· following")
        # The app watches the container as a server of its own, too.
        await until(pilot, lambda: services.sharing.state.active, "it is watched")
        pane = logs.slot.pane
        printing.exec_run(["touch", "/go"])
        counts = [0]

        def arrived() -> bool:
            view = pane.view
            assert view is not None
            assert pane.following
            counts.append(view.count)
            return view.count > MANY and f" {MANY} " in screen_text(app)

        await until(pilot, arrived, f"the last of {MANY} lines", within_s=WITHIN_S)
        assert counts == sorted(counts)
        assert texts(pane.view) == ["first", *map(str, range(1, MANY + 1))]
        last = [row for row in screen_text(app).splitlines() if f" {MANY} " in row]
        assert len(last) == 1
        assert pane.view is not None
        await until_shown(pilot, f"{pane.view.count:,} lines · following")

        # What ended by itself is removed, and its log stays as it was.
        await until(pilot, lambda: not exists(client, printing), "removed", within_s=WITHIN_S)
        assert texts(pane.view) == ["first", *map(str, range(1, MANY + 1))]
        assert pane.following
    assert write_failures == []


def exists(client: docker.DockerClient, container: Container) -> bool:
    try:
        client.containers.get(str(container.id))
    except docker.errors.NotFound:
        return False
    return True
