"""What the engine tests share: the engine that answers, a base image, a daemon of their own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from tests.conftest import free_port, one_at_a_time, shared_folder
from tests.engine.podman_service import PodmanService
from tests.engine.private_engine import PrivateEngine
from tests.engine.serving import docker_services
from tests.inference.test_service import QUESTION, local_answers
from torbiz_tui.assembly import Services
from torbiz_tui.config import Config, load_config
from torbiz_tui.environments.docker import probing
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.image import PetalsImage
from torbiz_tui.environments.docker.image_steps import ImageStep
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import CheckResult, Reporter

BASE_IMAGE = "torbiz-test-base:bookworm"
SHELL_IMAGE = "torbiz-test-shell:bookworm"
MIRROR = os.environ.get("TORBIZ_TEST_DEBIAN_MIRROR", "http://deb.debian.org/debian")
PACKAGES = "python3,python3-venv,ca-certificates"
# Packs a shell and a few programs with the libraries that they need; as text, as it comes in a log.
PACK_SHELL = """
set -e
programs="/bin/sh /bin/sleep /usr/bin/seq /usr/bin/touch"
tar -chf - $programs $(ldd $programs | grep -o '/lib[^ ]*' | sort -u) | base64
"""


@pytest.fixture(scope="session", autouse=True)
def _late_answers() -> Iterator[None]:
    """An engine of a busy machine may be late: Podman runs programs to tell its version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "LOCAL_TIMEOUT_S", 60.0)
        yield


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this machine."""
    try:
        found = asyncio.run(EngineFinder(Config().docker).find())
    except TorbizError as error:
        pytest.skip(f"no Docker engine answers ({error.what} {error.why})")
    yield found
    found.close()


@pytest.fixture(scope="session")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """The SDK on the same engine, for what a test does by hand."""
    opened = docker.DockerClient(base_url=engine.endpoint.address, timeout=120)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def base_image(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Debian with Python, venv and certificates, made here so that no registry is needed."""
    with one_at_a_time(shared_folder(tmp_path_factory) / "base-image.lock"):
        try:
            client.images.get(BASE_IMAGE)
        except docker.errors.ImageNotFound:
            with base_archive(tmp_path_factory).open("rb") as archive:
                client.api.import_image(
                    src=archive, repository=BASE_IMAGE.split(":")[0], tag="bookworm"
                )
    return BASE_IMAGE


@pytest.fixture(scope="session")
def shell_image(
    client: docker.DockerClient, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A few megabytes with sh, sleep, seq and touch: quick to bring to another engine."""
    with one_at_a_time(shared_folder(tmp_path_factory) / "shell-image.lock"):
        try:
            client.images.get(SHELL_IMAGE)
        except docker.errors.ImageNotFound:
            packed = client.containers.run(
                base_image, ["sh", "-c", PACK_SHELL], remove=True, network_mode="none"
            )
            client.api.import_image_from_data(base64.b64decode(packed), *SHELL_IMAGE.split(":"))
    return SHELL_IMAGE


def copy_image(tag: str, source: docker.DockerClient, target: docker.DockerClient) -> None:
    """Bring an image to another engine, such as a daemon of the test's own."""
    for _ in target.api.load_image(source.images.get(tag).save(named=tag)):  # type: ignore[no-untyped-call]
        pass


def base_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base image's file system as a tar archive, made once a run."""
    folder = tmp_path_factory.getbasetemp() / "base-image"
    archive = folder / "base.tar"
    if archive.exists():
        return archive
    if platform.system() != "Linux" or os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip(
            f"the image {BASE_IMAGE} is not there; making it needs Linux, root and debootstrap"
        )
    root = folder / "root"
    root.mkdir(parents=True)
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root, MIRROR],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == 0, f"debootstrap failed:\n{made.stdout[-3000:]}"
    # What only apt needs: a quarter of it all.
    for leftover in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(root / leftover, ignore_errors=True)
    subprocess.run(
        ["tar", "--numeric-owner", "--xattrs", "-C", root, "-cf", archive, "."], check=True
    )
    shutil.rmtree(root)
    return archive


@pytest.fixture(scope="session")
def petals_image(
    engine: Engine,
    client: docker.DockerClient,
    base_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The tag of the image with the Petals stack, built by the app's own setup step."""
    tag = f"torbiz-test-petals-{uuid4().hex[:8]}:latest"
    paths = Paths(tmp_path_factory.mktemp("image-home"))
    paths.ensure()
    config = image_config(paths, tag, base_image)
    earlier = {image["Id"] for image in client.api.images(filters={"dangling": True})}
    lines: list[str] = []
    report = Reporter(progress=lambda _fraction, _text: None, output=lines.append)

    async def build() -> CheckResult:
        finder = EngineFinder(config.docker)
        step = ImageStep(PetalsImage(paths, config), finder)
        try:
            await step.apply(report)
            return await step.check()
        except TorbizError as error:
            pytest.fail("\n".join([*lines[-40:], *error.lines()]))
        finally:
            finder.close()

    result = asyncio.run(build())
    assert result.readiness == "ready", result
    yield tag
    with contextlib.suppress(docker.errors.APIError):
        client.images.remove(tag)
    # Layers that were there before this run are somebody's; so are those that are in use.
    stage = json.loads((paths.run / "image-build.json").read_text("utf-8"))["stage"]
    if stage not in earlier:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(stage)


@pytest.fixture(scope="session")
def petals_archive(
    petals_image: str, client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The image as a file, for the engines that it is brought to: a gigabyte."""
    archive = tmp_path_factory.mktemp("petals-image") / "image.tar"
    with archive.open("wb") as file:
        for piece in client.images.get(petals_image).save(named=petals_image):
            file.write(piece)
    yield archive
    archive.unlink()


def load_archive(archive: Path, target: docker.DockerClient) -> None:
    """Bring images that are in a file to an engine."""
    with archive.open("rb") as file:
        for _ in target.api.load_image(file):  # type: ignore[no-untyped-call]
            pass


@pytest.fixture(scope="session")
def known_answer(petals_python: Path) -> str:
    """What the model says to the question without a swarm."""
    (said,) = local_answers(petals_python, [QUESTION])
    return said.strip()


def image_config(paths: Paths, tag: str, base_image: str, **values: object) -> Config:
    """A configuration whose image and container are nobody else's."""
    given = {
        "docker.image": tag,
        "docker.container": tag.partition(":")[0].rpartition("/")[2],
        "docker.base_image": base_image,
        # The CPU image also where the engine has GPUs: it is a tenth of the size.
        "petals.torch": "cpu",
        **{key.replace("__", "."): value for key, value in values.items()},
    }
    return load_config(paths.config_file, given, {}).config


@pytest.fixture
def engine_name() -> Callable[[str], str]:
    """Names for containers and images that nothing else on the engine has."""

    def name(what: str = "") -> str:
        return "-".join(filter(None, ("torbiz-test", what, uuid4().hex[:8])))

    return name


@pytest.fixture
def private_engines() -> Iterator[Callable[..., PrivateEngine]]:
    """Makes daemons of the test's own and starts them.

    `disk_size="200m"` limits the disk; `below` is the folder of the socket in the daemon's folder.
    """
    started: list[PrivateEngine] = []

    def start(disk_size: str = "", below: str = ".") -> PrivateEngine:
        daemon = _new_engine(disk_size, below)
        started.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in started:
        daemon.remove()


def _new_engine(disk_size: str = "", below: str = ".") -> PrivateEngine:
    if platform.system() != "Linux" or os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("a daemon of the test's own needs Linux, root and dockerd")
    # The path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="torbiz-engine-"))
    daemon = PrivateEngine(folder, disk_size, folder / below)
    daemon.prepare()
    return daemon


@pytest.fixture(scope="session")
def spare_engines() -> Iterator[list[PrivateEngine]]:
    """Daemons that earlier tests had and that are as new."""
    spare: list[PrivateEngine] = []
    yield spare
    for daemon in spare:
        daemon.remove()


@pytest.fixture
def private_engine(spare_engines: list[PrivateEngine]) -> Iterator[PrivateEngine]:
    """A running daemon of the test's own, with room and with nothing in it."""
    daemon = spare_engines.pop() if spare_engines else _new_engine()
    try:
        daemon.start()
    except BaseException:
        daemon.remove()
        raise
    yield daemon
    if daemon.make_as_new():
        spare_engines.append(daemon)
    else:
        daemon.remove()


@pytest.fixture(scope="session")
def podman_service() -> Iterator[PodmanService]:
    """Podman's service with a store of its own, the same for all tests."""
    yield from _running_podman()


@pytest.fixture
def empty_podman_service() -> Iterator[PodmanService]:
    """Podman's service with an empty store."""
    yield from _running_podman()


def _running_podman() -> Iterator[PodmanService]:
    if platform.system() != "Linux" or os.geteuid() != 0 or not shutil.which("podman"):
        pytest.skip("a Podman service of the test's own needs Linux, root and podman")
    service = PodmanService(Path(tempfile.mkdtemp(prefix="torbiz-podman-")))
    service.start()
    yield service
    service.remove()


@pytest.fixture(scope="session")
def podman_engine(
    podman_service: PodmanService, client: docker.DockerClient, base_image: str
) -> Iterator[Engine]:
    """Podman as the engine; it has the base image, under `localhost/…`."""
    config = replace(Config().docker, host=podman_service.host)
    found = asyncio.run(EngineFinder(config).find())
    with contextlib.closing(docker.DockerClient(base_url=podman_service.host)) as target:
        copy_image(base_image, client, target)
    yield found
    found.close()


@pytest.fixture
def name(engine_name: Callable[[str], str], client: docker.DockerClient) -> Iterator[str]:
    """The name of a container, which is gone afterwards."""
    name = engine_name("seeder")
    yield name
    for left in client.containers.list(all=True, filters={"name": name}):
        left.remove(force=True, v=True)


@pytest.fixture
async def make(
    demo_home: Path, petals_image: str, name: str
) -> AsyncIterator[Callable[..., Services]]:
    """Services of one home, as often as the app is opened; all are closed."""
    made: list[Services] = []
    port = free_port()

    def services(**overrides: object) -> Services:
        values = {"share.port": port, **overrides}
        made.append(docker_services(demo_home, petals_image, name, **values))
        return made[-1]

    yield services
    for one in made:
        await one.close()
