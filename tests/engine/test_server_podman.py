"""Hosting in a container of Podman, through its Docker API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import copy_image
from tests.engine.podman_service import PodmanService
from tests.engine.serving import docker_services, until
from torbiz_tui.sharing.state import Phase

pytestmark = pytest.mark.engine


async def test_podman_hosts_as_docker_does(
    demo_home: Path,
    petals_image: str,
    podman_service: PodmanService,
    client: docker.DockerClient,
    engine_name: Callable[[str], str],
) -> None:
    there = docker.DockerClient(base_url=podman_service.host, timeout=300)
    await asyncio.to_thread(copy_image, petals_image, client, there)
    name = engine_name("seeder")
    settings = {"docker.host": podman_service.host}
    services = docker_services(demo_home, petals_image, name, **settings)
    sharing = services.sharing
    await sharing.start(sharing.default_request())
    await sharing.wait_serving(60)
    later = docker_services(demo_home, petals_image, name, **settings)
    assert (await later.sharing.attach()).phase is Phase.SERVING
    await later.close()

    there.containers.get(name).pause()
    await until(sharing, lambda s: s.paused, 10)
    there.containers.get(name).unpause()
    await until(sharing, lambda s: not s.paused, 10)
    report = await sharing.stop()
    assert report is not None
    assert (report.code, report.killed) == (0, False)
    assert "The blocks are announced offline" in [e.text for e in sharing.state.events]
    assert there.containers.list(all=True) == []

    await sharing.start(sharing.default_request())
    await sharing.wait_serving(60)
    there.containers.get(name).kill("KILL")
    state = await until(sharing, lambda s: s.phase is Phase.FAILED, 15)
    assert "SIGKILL" in state.failure
    await sharing.stop()
    assert there.containers.list(all=True) == []
    await services.close()
    there.close()
