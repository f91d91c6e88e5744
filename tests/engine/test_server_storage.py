"""What a hosting container keeps on this machine: downloads, and nothing when a disk is full."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from tests.conftest import free_port
from tests.engine.conftest import copy_image
from tests.engine.private_engine import PrivateEngine
from tests.engine.serving import SERVING_S, docker_services, until
from torbiz_tui.assembly import Services
from torbiz_tui.catalogue import demo_info
from torbiz_tui.environments.base import ExitReport, ServerSpec
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import demo_model
from torbiz_tui.sharing.state import Phase

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


class Hub(ThreadingHTTPServer):
    """A model hub with the demo model in it; notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.asked: list[tuple[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def downloads(self) -> list[str]:
        return [path for method, path in self.asked if method == "GET"]


class _HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append((self.command, name))
        file = demo_model() / name
        self.send_response(200 if file.is_file() else 404)
        self.send_header("X-Repo-Commit", "0" * 40)
        if not file.is_file():
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_header("ETag", f'"{name}"')
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(file.read_bytes())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Be quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()


@pytest.fixture
async def services(
    demo_home: Path,
    petals_image: str,
    engine_name: Callable[[str], str],
    client: docker.DockerClient,
) -> AsyncIterator[Services]:
    name = engine_name("seeder")
    made = docker_services(demo_home, petals_image, name)
    yield made
    await made.sharing.stop()
    await made.close()
    assert client.containers.list(all=True, filters={"name": name}) == []


def hub_spec(port: int) -> ServerSpec:
    demo = demo_info()
    return ServerSpec(
        model="test/demo",
        source="test/demo",
        num_blocks=demo.num_blocks,
        dht_prefix="test-demo-hf",
        blocks="0:4",
        torch_dtype="float32",
        throughput="1",
        port=port,
        new_swarm=True,
        host_maddrs=(f"/ip4/127.0.0.1/tcp/{port}",),
    )


async def serve_once(services: Services, spec: ServerSpec) -> ExitReport | None:
    await services.environment.hosting.start_server(spec, {})
    await services.sharing.attach()
    await services.sharing.wait_serving(SERVING_S)
    return await services.sharing.stop()


async def test_a_second_start_downloads_nothing(services: Services, hub: Hub) -> None:
    spec = hub_spec(free_port())
    await serve_once(services, spec)
    assert sorted(hub.downloads()) == ["config.json", "model.safetensors"]
    cache = Path(services.config.docker.model_cache)
    assert (cache / "petals" / "models--test--demo").is_dir()
    hub.asked.clear()
    report = await serve_once(services, spec)
    assert report is not None
    assert report.code == 0
    assert hub.downloads() == []


async def test_a_model_cache_that_is_full_is_said(
    services: Services, hub: Hub, small_disk: Path, demo_home: Path
) -> None:
    cache = Path(services.config.docker.model_cache)
    cache.symlink_to(small_disk, target_is_directory=True)
    room = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"\0" * (room - 2_000_000))
    await services.environment.hosting.start_server(hub_spec(free_port()), {})
    await services.sharing.attach()
    state = await until(
        services.sharing,
        lambda s: any("disk space" in event.text for event in s.events) or not s.active,
    )
    # Petals waits for room and tries again: it is a warning, and the person can end it.
    assert state.phase is Phase.STARTING
    assert state.events[-1].warning
    report = await services.sharing.stop()
    assert report is not None
    assert not report.killed


async def test_a_full_disk_of_the_engine_is_said(
    demo_home: Path,
    private_engines: Callable[..., PrivateEngine],
    client: docker.DockerClient,
    shell_image: str,
    engine_name: Callable[[str], str],
) -> None:
    daemon = private_engines("100m")
    there = docker.DockerClient(base_url=daemon.host, timeout=60)
    copy_image(shell_image, client, there)
    there.close()
    room = shutil.disk_usage(daemon.data_root).free
    (daemon.data_root / "filler").write_bytes(b"\0" * room)
    services = docker_services(
        demo_home, shell_image, engine_name("seeder"), **{"docker.host": daemon.host}
    )
    with pytest.raises(TorbizError) as caught:
        await services.sharing.start(services.sharing.default_request())
    assert caught.value.code == "docker_disk_full"
    assert "torbiz-tui clean" in caught.value.remedy
    assert services.sharing.state.phase is Phase.STOPPED
    await services.close()
