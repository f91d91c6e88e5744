"""A hosting container while its engine goes away and comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import load_archive
from tests.engine.private_engine import PrivateEngine
from tests.engine.serving import SERVING_S, docker_services, until
from torbiz_tui.errors import TorbizError
from torbiz_tui.sharing.state import Phase

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


async def test_the_daemon_stops_dies_and_comes_back_under_a_running_app(
    demo_home: Path,
    petals_image: str,
    private_engine: PrivateEngine,
    petals_archive: Path,
    engine_name: Callable[[str], str],
) -> None:
    there = docker.DockerClient(base_url=private_engine.host, timeout=120)
    load_archive(petals_archive, there)
    name = engine_name("seeder")
    services = docker_services(
        demo_home, petals_image, name, **{"docker.host": private_engine.host}
    )
    sharing = services.sharing
    await sharing.start(sharing.default_request())
    await sharing.wait_serving(SERVING_S)

    private_engine.stop()
    state = await until(sharing, lambda s: bool(s.lost))
    assert state.phase is Phase.SERVING
    assert "Docker" in state.lost
    assert "nobody knows how the server is" in state.events[-1].text
    assert state.events[-1].warning
    with pytest.raises(TorbizError, match="Docker"):
        await sharing.stop()
    # Who opens the app now is told why it knows nothing, and learns the rest later.
    later = docker_services(demo_home, petals_image, name, **{"docker.host": private_engine.host})
    assert "Docker" in (await later.sharing.attach()).lost

    private_engine.start()
    state = await until(sharing, lambda s: s.phase is Phase.FAILED)
    assert "Docker was stopped, and the server with it" in state.failure
    assert state.lost == ""
    await until(later.sharing, lambda s: not s.lost)
    await later.close()

    # Killed, it takes the container with it when it comes back (unless live-restore is on).
    await sharing.start(sharing.default_request())
    await sharing.wait_serving(SERVING_S)
    private_engine.kill()
    await until(sharing, lambda s: bool(s.lost))
    private_engine.start()
    state = await until(sharing, lambda s: not s.lost)
    if state.phase is Phase.FAILED:
        assert "Docker was stopped, and the server with it" in state.failure
    await sharing.stop()
    assert there.containers.list(all=True) == []

    # The image goes under a running server, which goes on; the next start says what is missing.
    await sharing.start(sharing.default_request())
    await sharing.wait_serving(SERVING_S)
    there.images.remove(petals_image, force=True)
    assert sharing.state.phase is Phase.SERVING
    report = await sharing.stop()
    assert report is not None
    assert report.code == 0
    with pytest.raises(TorbizError, match="Docker image not found"):
        await sharing.start(sharing.default_request())
    await services.close()
    there.close()
