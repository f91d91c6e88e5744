"""Building the image on a real engine, from tiny packages under the pinned names."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from tests.engine.conftest import image_config
from tests.engine.package_index import HELD_UP_S, PackageIndex, make_packages, make_wheel
from tests.engine.podman_service import PodmanService
from tests.engine.private_engine import PrivateEngine
from tests.pace import Stopwatch
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.image import LABEL_ROLE, PetalsImage
from torbiz_tui.environments.docker.image_steps import ImageStep
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Reporter

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PASSWORD = "s3cretPackagePassword"
PROXY_PASSWORD = "s3cretProxyPassword"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_packages(tmp_path_factory.mktemp("packages") / "all")


@pytest.fixture
def index(packages: Path) -> Iterator[PackageIndex]:
    served = PackageIndex(packages, f"somebody:{PASSWORD}")
    yield served
    served.close()


@pytest.fixture
def own_wheelhouse(tmp_path: Path) -> str:
    """A folder with a package that no other build has had: what comes after it is not cached."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    make_wheel(folder, "torch", "2.13.0+cpu", filler=os.urandom(16))
    return str(folder)


@pytest.fixture(autouse=True)
def _no_other_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test names is a source of packages."""
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


class Build:
    """One configuration's build, what it reported, and what of it is on the engine."""

    def __init__(self, client: docker.DockerClient, paths: Paths, tag: str, base: str) -> None:
        self.client, self.paths, self.tag, self.base = client, paths, tag, base
        self.texts: list[str] = []
        self.fractions: list[float | None] = []
        self.lines: list[str] = []

    def _progress(self, fraction: float | None, text: str) -> None:
        self.fractions.append(fraction)
        self.texts.append(text)

    async def run(self, *, no_cache: bool = False, **values: Any) -> None:
        config = image_config(self.paths, self.tag, self.base, **values)
        finder = EngineFinder(config.docker)
        self.texts, self.lines, self.fractions = [], self.lines, []
        report = Reporter(progress=self._progress, output=self.lines.append)
        image = PetalsImage(self.paths, config)
        try:
            if no_cache:
                await image.build(await finder.engine(), report, no_cache=True)
            else:
                await ImageStep(image, finder).apply(report)
        finally:
            finder.close()

    @property
    def layers(self) -> list[str]:
        found = [re.match(r"^ ---> ([0-9a-f]{12})$", line) for line in self.lines]
        return [match[1] for match in found if match]

    def exists(self) -> bool:
        try:
            self.client.images.get(self.tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    def containers(self) -> list[str]:
        """Containers that the build's steps run in, as the engine lists them."""
        started = [re.match(r"^ ---> Running in ([0-9a-f]{12})$", line) for line in self.lines]
        ids = [match[1] for match in started if match]
        listed = self.client.api.containers(all=True)
        return [box["Id"] for box in listed if box["Id"][:12] in ids]

    def remove(self) -> None:
        with contextlib.suppress(docker.errors.APIError):
            self.client.images.remove(self.tag)
        base = str(self.client.images.get(self.base).id).removeprefix("sha256:")[:12]
        for layer in reversed(self.layers):
            if layer != base:
                with contextlib.suppress(docker.errors.APIError):
                    self.client.images.remove(layer)


@pytest.fixture
def build(
    client: docker.DockerClient,
    own_base: str,
    tmp_path: Path,
    engine_name: Callable[[str], str],
    builds: list[Build],
) -> Iterator[Build]:
    paths = Paths(tmp_path / "home")
    paths.ensure()
    made = Build(client, paths, engine_name("build") + ":latest", own_base)
    yield made
    with contextlib.suppress(docker.errors.APIError):
        client.images.remove(made.tag)
    builds.append(made)


@pytest.fixture(scope="session")
def own_base(client: docker.DockerClient, base_image: str) -> Iterator[str]:
    """The base image as one that no other build has had.

    The engine looks for a cached layer below the one that was made last, whoever has made it: in
    another process of this run, or in one that was killed.
    """
    tag = f"torbiz-test-base-{uuid4().hex[:8]}:latest"
    file = f"FROM {base_image}\nLABEL torbiz-test={tag}\n"
    client.images.build(fileobj=io.BytesIO(file.encode()), tag=tag, rm=True)
    yield tag
    with contextlib.suppress(docker.errors.APIError):
        client.images.remove(tag)


@pytest.fixture(scope="session")
def builds(own_base: str) -> Iterator[list[Build]]:
    """All builds of the run: their layers serve the builds after them, and go at the end."""
    made: list[Build] = []
    yield made
    for build in reversed(made):
        build.remove()


def installed(client: docker.DockerClient, tag: str) -> str:
    printed: bytes = client.containers.run(
        tag, ["ls", "/opt/petals/lib/python3.11/site-packages"], remove=True, network_mode="none"
    )
    return printed.decode()


async def test_a_full_wheelhouse_needs_no_network(
    build: Build, packages: Path, client: docker.DockerClient
) -> None:
    await build.run(no_cache=True, docker__wheelhouse=str(packages), docker__build_network="none")
    assert "Taking from the wheelhouse alone: --no-deps torch==2.13.0+cpu" in build.lines
    found = installed(client, build.tag)
    assert "torch-2.13.0+cpu.dist-info" in found
    assert "petals-2.2.0.post1.dist-info" in found
    # Neither the wheels nor uv are in the image, only in the layers kept for the next build.
    assert client.images.get(build.tag).attrs["Size"] < (
        client.images.get(build.base).attrs["Size"] + 5_000_000
    )
    assert any(text.startswith("Step ") and text[-5:-3] in (" 0", " 1") for text in build.texts)
    assert all(fraction is None or 0 <= fraction <= 1 for fraction in build.fractions)


async def test_only_what_is_pinned_for_the_platform_goes_along(
    build: Build, packages: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    for wheel in packages.iterdir():
        (folder / wheel.name).symlink_to(wheel)
    strangers = [make_wheel(folder, "numpy", "1.0.0"), make_wheel(folder, "stranger", "1.0")]
    strangers.append(make_wheel(folder, "torch", "2.13.0"))
    other = folder / "numpy-2.4.6-cp311-cp311-manylinux_2_28_aarch64.whl"
    other.write_bytes(b"for another processor")
    await build.run(docker__wheelhouse=str(folder), docker__build_network="none")
    held = build.client.containers.run(
        _stage(build), ["ls", "/build/wheelhouse"], remove=True
    ).decode()
    for file in [*strangers, other]:
        assert file.name not in held
    assert "torch-2.13.0+cpu-py3-none-any.whl" in held


def _stage(build: Build) -> str:
    data = json.loads((build.paths.run / "image-build.json").read_text("utf-8"))
    return str(data["stage"])


async def test_a_failure_names_the_instruction_and_a_retry_reuses_layers(
    build: Build, index: PackageIndex, own_wheelhouse: str
) -> None:
    index.lacking.add("hivemind")
    sources: dict[str, Any] = {
        "petals__index_url": index.address,
        "docker__wheelhouse": own_wheelhouse,
    }
    with pytest.raises(TorbizError) as caught:
        await build.run(**sources)
    error = caught.value
    assert error.code == "package_not_found"
    assert re.search(
        r"^The build of the image failed at step \d+ of \d+: RUN sh /build/install.sh petals\.$",
        error.what,
    )
    assert any("hivemind" in line for line in error.details)
    assert any("non-zero code" in line for line in error.details)
    assert PASSWORD not in "\n".join([*error.lines(), *build.lines, *build.texts])
    assert not build.exists()
    assert build.containers() == []

    index.lacking.clear()
    before = len(build.lines)
    await build.run(**sources)
    again = build.lines[before:]
    step = next(i for i, line in enumerate(again) if "install.sh torch" in line)
    assert again[step + 1].strip() == "---> Using cache"
    assert build.exists()


async def test_no_secret_stays_on_the_engine(
    build: Build, index: PackageIndex, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:{PROXY_PASSWORD}@proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    await build.run(no_cache=True, petals__index_url=index.address)
    assert "petals-2.2.0.post1.dist-info" in installed(client, build.tag)
    packed = PASSWORD.encode()
    secrets = [packed, PROXY_PASSWORD.encode(), b"torbiz:", b"FTP_PROXY="]

    # All that the engine tells of every layer of both stages.
    api: Any = client.api
    for layer in {*build.layers, _stage(build), build.tag}:
        told = json.dumps([api.inspect_image(layer), api.history(layer)]).encode()
        for secret in secrets:
            assert secret not in told, layer
    # And every byte of them, but for install.sh, which reads the one variable.
    for image in (_stage(build), build.tag):
        tail = b""
        for piece in client.api.get_image(image):
            window = tail + piece
            for secret in secrets[:2]:
                assert secret not in window, image
            tail = window[-100:]


async def test_a_wrong_password_is_told(build: Build, index: PackageIndex) -> None:
    with pytest.raises(TorbizError) as caught:
        await build.run(
            no_cache=True, petals__index_url=index.address.replace(PASSWORD, "wrongPassword")
        )
    assert "install.sh uv" in caught.value.what
    assert "wrongPassword" not in "\n".join([*caught.value.lines(), *build.lines])


async def until_it_has_ended(build: Build) -> None:
    """Wait until none of the build's containers is there, which its index would hold up longer."""
    deadline = time.monotonic() + HELD_UP_S / 2
    while build.containers():
        assert time.monotonic() < deadline, "the build goes on"
        await asyncio.sleep(0.1)


async def test_cancelling_stops_the_build_on_the_engine(
    build: Build, index: PackageIndex, own_wheelhouse: str
) -> None:
    index.stuck.add("hivemind")
    task = asyncio.create_task(
        build.run(petals__index_url=index.address, docker__wheelhouse=own_wheelhouse)
    )
    await asyncio.to_thread(index.asked.wait, HELD_UP_S)
    assert index.asked.is_set(), build.lines[-20:]
    assert build.containers() != []
    since_cancelled = Stopwatch()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert since_cancelled.seconds < 2
    await until_it_has_ended(build)
    assert not build.exists()


async def test_a_build_that_takes_too_long_is_given_up(
    build: Build, index: PackageIndex, own_wheelhouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[float | None, asyncio.Timeout] = {}

    def limit(seconds: float | None) -> asyncio.Timeout:
        limits[seconds] = asyncio.timeout_at(
            None if seconds is None else asyncio.get_running_loop().time() + seconds
        )
        return limits[seconds]

    monkeypatch.setattr(asyncio, "timeout", limit)
    index.stuck.add("uv")
    building = asyncio.create_task(
        build.run(
            petals__index_url=index.address,
            docker__wheelhouse=own_wheelhouse,
            docker__build_timeout_s=1234,
        )
    )
    assert await asyncio.to_thread(index.asked.wait, HELD_UP_S), build.lines[-20:]
    while not any("install.sh uv" in line for line in build.lines):
        await asyncio.sleep(0.05)
    # Now its time is up: however quick the machine is, it is at this step.
    limits[1234].reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TorbizError) as caught:
        await building
    assert caught.value.code == "build_timeout"
    assert "within 1234 s" in caught.value.what
    assert "install.sh uv" in caught.value.why
    await until_it_has_ended(build)


async def test_an_unreachable_index_is_told_as_such(build: Build, packages: Path) -> None:
    """Only uv is there, and nothing answers where the rest should come from."""
    folder = build.paths.home / "wheelhouse"
    folder.mkdir()
    for wheel in packages.glob("uv-*.whl"):
        (folder / wheel.name).symlink_to(wheel)
    with pytest.raises(TorbizError) as caught:
        await build.run(petals__index_url="http://127.0.0.1:1/simple")
    assert caught.value.code == "no_network"
    assert "install.sh torch" in caught.value.what
    assert "wheelhouse" in caught.value.remedy


async def test_a_base_image_that_cannot_be_had_is_told(build: Build) -> None:
    with pytest.raises(TorbizError) as caught:
        await build.run(docker__base_image="127.0.0.1:1/torbiz/nobody:none")
    assert caught.value.code in ("registry_unreachable", "no_base_image")
    assert "docker.base_image" in caught.value.remedy
    assert "FROM" in caught.value.what


async def test_a_base_image_without_the_right_python_is_told(
    build: Build, client: docker.DockerClient, engine_name: Callable[[str], str]
) -> None:
    tag = engine_name("base") + ":latest"
    file = f"FROM {build.base}\nRUN rm -f /usr/bin/python3\n"
    client.images.build(fileobj=io.BytesIO(file.encode()), tag=tag, rm=True)
    try:
        with pytest.raises(TorbizError) as caught:
            await build.run(docker__base_image=tag)
        assert caught.value.code == "wrong_python"
        assert "docker.base_image" in caught.value.remedy
    finally:
        build.remove()
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(tag)


async def test_doing_it_again_builds_from_nothing_and_removes_what_it_replaced(
    build: Build, packages: Path
) -> None:
    sources: dict[str, Any] = {
        "docker__wheelhouse": str(packages),
        "docker__build_network": "none",
    }
    await build.run(**sources)
    lines = len(build.lines)
    old, old_stage = build.client.images.get(build.tag).id, _stage(build)
    await build.run(**sources)
    assert not any("Using cache" in line for line in build.lines[lines:])
    new, new_stage = build.client.images.get(build.tag).id, _stage(build)
    assert (old, old_stage) != (new, new_stage)
    there = {image["Id"] for image in build.client.api.images(all=True)}
    assert old not in there
    assert old_stage not in there
    assert {new, new_stage} <= there
    assert build.client.images.get(new_stage).labels[LABEL_ROLE] == "build-stage"


async def test_a_full_disk_of_the_engine_is_told(
    private_engines: Callable[..., PrivateEngine],
    client: docker.DockerClient,
    base_image: str,
    tmp_path: Path,
    packages: Path,
) -> None:
    daemon = private_engines("480m")
    small = docker.DockerClient(base_url=daemon.host, timeout=120)
    api: Any = client.api
    small.images.load(api.get_image(base_image))
    paths = Paths(tmp_path / "home")
    paths.ensure()
    build = Build(small, paths, "full:latest", base_image)
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    for wheel in packages.iterdir():
        if not wheel.name.startswith("hivemind-"):
            (folder / wheel.name).symlink_to(wheel)
    make_wheel(folder, "hivemind", "1.1.12", filler=bytes(150_000_000))
    with pytest.raises(TorbizError) as caught:
        await build.run(
            docker__wheelhouse=str(folder),
            docker__host=daemon.host,
            docker__build_network="none",
        )
    assert caught.value.code == "docker_disk_full"
    assert "torbiz-tui clean" in caught.value.remedy
    small.close()


async def test_podman_builds_it_too(
    podman_service: PodmanService,
    podman_engine: Engine,
    base_image: str,
    tmp_path: Path,
    index: PackageIndex,
) -> None:
    assert podman_engine.facts.name == "Podman"
    client = docker.DockerClient(base_url=podman_service.host, timeout=120)
    paths = Paths(tmp_path / "home")
    paths.ensure()
    build = Build(client, paths, "torbiz-test-podman:latest", base_image)
    await build.run(
        petals__index_url=index.address,
        docker__host=podman_service.host,
        docker__build_network="host",
    )
    config = image_config(paths, build.tag, base_image, docker__host=podman_service.host)
    state = await PetalsImage(paths, config).state(podman_engine)
    assert state is not None
    assert state.fresh
    assert any(re.match(r"Step \d+/\d+: .*install\.sh petals", text) for text in build.texts)
    api: Any = client.api
    for image in client.images.list(all=True):
        told = json.dumps([api.inspect_image(image.id), api.history(image.id)])
        assert PASSWORD not in told
        assert "torbiz:" not in told
    client.close()
