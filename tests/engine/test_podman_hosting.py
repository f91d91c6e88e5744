"""Hosting in a container of Podman: the image, the server's life, a build."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.conftest import free_port
from tests.engine.conftest import image_config, load_archive
from tests.engine.podman_service import PodmanService
from tests.engine.serving import CHANGED_S, SERVING_S, docker_services, until
from tests.engine.spooling import copied, engines_log
from tests.inference.test_service import QUESTION, answer
from torbiz_tui.assembly import Services
from torbiz_tui.environments.docker import container_plan as plan_module
from torbiz_tui.environments.docker.build_failures import build_failure
from torbiz_tui.environments.docker.build_output import BuildOutput
from torbiz_tui.environments.docker.connection_steps import connection_steps
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.image import PetalsImage
from torbiz_tui.environments.docker.image_steps import ContainerVerifyStep, ImageStep
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Reporter
from torbiz_tui.sharing.state import Phase, Stage

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

GOODBYE = "The blocks are announced offline"


@pytest.fixture(scope="module")
def podman(podman_service: PodmanService) -> Iterator[docker.DockerClient]:
    """The SDK on Podman."""
    opened = docker.DockerClient(base_url=podman_service.host, timeout=300)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def image(petals_image: str, petals_archive: Path, podman: docker.DockerClient) -> str:
    """The image of the stack on Podman too, where it is `localhost/…`; building takes longer."""
    load_archive(petals_archive, podman)
    return petals_image


@pytest.fixture
def box(
    engine_name: Callable[[str], str], podman: docker.DockerClient
) -> Iterator[Callable[..., Any]]:
    """The container that hosts; its name is `box.name`."""
    name = engine_name("seeder")

    def found() -> Any:
        listed = podman.containers.list(all=True, filters={"name": name})
        return listed[0] if listed else None

    found.name = name  # type: ignore[attr-defined]
    yield found
    if (left := found()) is not None:
        left.remove(force=True)


@pytest.fixture
async def make(
    demo_home: Path, image: str, box: Any, podman_service: PodmanService
) -> AsyncIterator[Callable[..., Services]]:
    """Services of one home, as often as the app is opened."""
    made: list[Services] = []
    settings = {"share.port": free_port(), "docker.host": podman_service.host}

    def services(**overrides: object) -> Services:
        made.append(docker_services(demo_home, image, box.name, **settings, **overrides))
        return made[-1]

    yield services
    for one in made:
        await one.close()


async def serve(services: Services) -> None:
    await services.sharing.start(services.sharing.default_request())
    await services.sharing.wait_serving(SERVING_S)


async def test_setup_knows_the_engine_and_the_image(
    tmp_path: Path, image: str, base_image: str, podman_service: PodmanService
) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    config = image_config(paths, image, base_image, docker__host=podman_service.host)
    finder = EngineFinder(config.docker)
    petals = PetalsImage(paths, config)
    verify = ContainerVerifyStep(paths, config, petals, finder)
    engine_step = connection_steps(finder)[-1]
    assert (await engine_step.check()).detail.startswith("Podman ")
    found = await ImageStep(petals, finder).check()
    assert found.readiness == "ready"
    assert f"{image}, " in found.detail
    assert " by version " in found.detail
    assert (await verify.check()).readiness == "missing"
    await verify.apply(Reporter(progress=lambda _fraction, _text: None, output=lambda _line: None))
    assert "petals 2.2.0" in (await verify.check()).detail
    finder.close()


async def test_from_start_to_stop(
    make: Callable[..., Services],
    demo_home: Path,
    known_answer: str,
    box: Any,
    podman_service: PodmanService,
) -> None:
    services = make()
    await serve(services)
    state = services.sharing.state
    assert (state.container, state.blocks, state.blocks_loaded) == (box.name, (0, 8), 8)
    assert (await answer(services, QUESTION))[0].strip() == known_answer
    check_confinement(box())

    # The app is closed and opened again, and goes on with the log where it was.
    await services.close()
    again = make()
    attached = await again.sharing.attach()
    assert (attached.phase, attached.spec) == (Phase.SERVING, state.spec)
    assert attached.addresses == state.addresses
    begun, busy = time.monotonic(), podman_service.processor_s()
    used = (await until(again.sharing, lambda s: s.resources is not None)).resources
    # To wait for the container's end keeps no processor busy.
    busy = podman_service.processor_s() - busy
    assert busy < 0.5 + 0.1 * (time.monotonic() - begun)
    assert used is not None
    assert used.memory_bytes > 2**27

    box().pause()
    await until(again.sharing, lambda s: s.paused)
    box().unpause()
    await until(again.sharing, lambda s: not s.paused)
    before = engines_log(box())
    report = await again.sharing.stop()
    assert report is not None
    how = (report.code, report.signal, report.killed, report.asked)
    assert how == (0, None, False, True), "\n".join(copied(demo_home)[-40:])
    assert GOODBYE in [event.text for event in again.sharing.state.events]
    assert box() is None
    # Podman's stamps have whole seconds: each line is there once all the same.
    kept = copied(demo_home)
    assert kept[: len(before)] == before
    assert len(kept) > len(before)
    assert "shut down successfully" in kept[-1]


def check_confinement(box: Any) -> None:
    for path in ("/x", "/root/x", "/opt/petals/x", "/app/scripts/x"):
        assert box.exec_run(["touch", path]).exit_code != 0, path
    for path in ("/tmp/x", "/root/.cache/huggingface/x", "/root/.torbiz/logs/x.log"):
        assert box.exec_run(["touch", path]).exit_code == 0, path
    status = box.exec_run(["grep", "-E", "^(CapEff|NoNewPrivs)", "/proc/1/status"]).output
    assert status.decode().split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    assert b"podman-init" in box.exec_run(["cat", "/proc/1/cmdline"]).output


async def test_what_is_done_by_hand(
    make: Callable[..., Services], demo_home: Path, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = 12_345 if os.geteuid() == 0 else os.geteuid()

    class Person:
        getuid = getgid = geteuid = staticmethod(lambda: person)

        def __getattr__(self, attribute: str) -> object:
            return getattr(os, attribute)

    monkeypatch.setattr(plan_module, "os", Person())
    services = make()
    sharing = services.sharing
    plan_module.prepare_folders(services.paths, services.config)
    for folder in (demo_home / "logs", demo_home / "run" / "container", demo_home / "huggingface"):
        for file in (folder, *folder.rglob("*")):
            os.chown(file, person, person)
    await serve(services)
    assert box().exec_run(["id", "-u"]).output.decode().strip() == str(person)
    identity = demo_home / "run" / "container" / "torbiz-demo.identity"
    assert identity.stat().st_uid == person

    await asyncio.to_thread(box().restart)
    await until(sharing, lambda s: s.stage is not Stage.SERVING)
    await sharing.wait_serving(SERVING_S)

    await asyncio.to_thread(box().kill, "KILL")
    failed = await until(sharing, lambda s: s.phase is Phase.FAILED)
    assert "It was ended by SIGKILL" in failed.failure
    assert (await make().sharing.attach()).failure == failed.failure

    # A `podman stop` without a time would kill a container that was given none.
    await serve(services)
    await asyncio.to_thread(box().stop)
    stopped = await until(sharing, lambda s: s.phase is Phase.STOPPED)
    assert stopped.failure == ""
    assert GOODBYE in [event.text for event in stopped.events]
    async with asyncio.timeout(CHANGED_S):
        while box() is not None:
            await asyncio.sleep(0.05)


async def test_a_memory_limit_is_named(make: Callable[..., Services]) -> None:
    sharing = make(**{"docker.memory": 300_000_000}).sharing
    await sharing.start(sharing.default_request())
    with pytest.raises(TorbizError) as caught:
        await sharing.wait_serving(SERVING_S)
    # Some versions tell that it was for memory, the others just that it was killed.
    said = f"{caught.value.what} {caught.value.remedy}"
    assert "286 MiB of memory that it may use" in said
    assert "docker.memory" in caught.value.remedy


async def test_a_build_is_followed_through_its_stages(
    podman_engine: Engine, base_image: str, engine_name: Callable[[str], str]
) -> None:
    text = (
        f"FROM {base_image} AS build\nRUN echo made > /made\n"
        f"FROM {base_image}\nCOPY --from=build /made /made\nRUN echo it cannot be >&2; exit 3\n"
    )

    def build(client: docker.DockerClient) -> Iterator[dict[str, Any]]:
        file = BytesIO(text.encode())
        return iter(client.api.build(fileobj=file, tag=engine_name("b"), decode=True, forcerm=True))

    output = BuildOutput()
    fractions = []
    async for item in podman_engine.stream(build, doing="building"):
        output.feed(item)
        fractions.append(output.fraction or 0.0)
    assert fractions == sorted(fractions)
    assert 0.5 < fractions[-1] < 1
    error = build_failure(output)
    assert error.what.startswith("The build of the image failed at step 3 of 3: RUN echo it cannot")
    assert "it cannot be" in "\n".join(error.details)
