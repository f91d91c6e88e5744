"""The image that the app builds: what it holds, and what Setup says of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine.conftest import image_config
from torbiz_tui import __version__
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.image import (
    LABEL_DIGEST,
    LABEL_ROLE,
    LABEL_VERSION,
    PetalsImage,
)
from torbiz_tui.environments.docker.image_steps import ContainerVerifyStep, ImageStep
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.paths import Paths, runner_scripts
from torbiz_tui.setup.step import Reporter

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


class Setup:
    """The two steps for one home folder, and what they reported."""

    def __init__(self, paths: Paths, config: Config) -> None:
        self.finder = EngineFinder(config.docker)
        self.petals = PetalsImage(paths, config)
        self.image = ImageStep(self.petals, self.finder)
        self.verify = ContainerVerifyStep(paths, config, self.petals, self.finder)
        self.texts: list[str] = []
        self.lines: list[str] = []
        self.report = Reporter(
            progress=lambda _fraction, text: self.texts.append(text), output=self.lines.append
        )


@pytest.fixture
def set_up(tmp_path: Path, base_image: str) -> Iterator[Callable[..., Setup]]:
    made: list[Setup] = []

    def make(tag: str, **values: object) -> Setup:
        paths = Paths(tmp_path / "home")
        paths.ensure()
        made.append(Setup(paths, image_config(paths, tag, base_image, **values)))
        return made[-1]

    yield make
    for one in made:
        one.finder.close()


@pytest.fixture
def own_tag(
    petals_image: str, client: docker.DockerClient, engine_name: Callable[[str], str]
) -> Iterator[str]:
    """Another name of the image, for a test that takes it away."""
    name = engine_name("tag")
    client.images.get(petals_image).tag(name)
    yield f"{name}:latest"
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.remove(f"{name}:latest")


@pytest.fixture
def labelled(
    client: docker.DockerClient, base_image: str, engine_name: Callable[[str], str]
) -> Iterator[Callable[[dict[str, str]], str]]:
    """Makes small images with the given labels."""
    made: list[str] = []

    def make(labels: dict[str, str]) -> str:
        tag = engine_name("labelled") + ":latest"
        file = f"FROM {base_image}\nENV TEST={tag}\n"
        client.images.build(fileobj=io.BytesIO(file.encode()), tag=tag, labels=labels, rm=True)
        made.append(tag)
        return tag

    yield make
    for tag in made:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(tag)


def in_image(client: docker.DockerClient, tag: str, command: list[str], **options: Any) -> str:
    """What a command prints in a container as confined as the hosting one, as a user without name."""
    printed: bytes = client.containers.run(
        tag,
        command,
        user="12345:23456",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
        tmpfs={"/tmp": ""},
        remove=True,
        stderr=True,
        volumes={str(runner_scripts()): {"bind": "/app/scripts", "mode": "ro"}},
        **options,
    )
    return printed.decode()


def test_the_image_is_small_and_says_what_it_is(
    petals_image: str, client: docker.DockerClient
) -> None:
    image = client.images.get(petals_image)
    assert image.attrs["Size"] < 1.3e9
    assert image.labels[LABEL_VERSION] == __version__
    assert len(image.labels[LABEL_DIGEST]) == 16
    assert image.labels[LABEL_ROLE] == "image"
    config = image.attrs["Config"]
    assert config["StopSignal"] == "SIGTERM"
    assert not config.get("Entrypoint")
    assert "PETALS_CACHE=/root/.cache/huggingface/petals" in config["Env"]


def test_the_guides_command_works_for_any_user(
    petals_image: str, client: docker.DockerClient
) -> None:
    said = in_image(
        client, petals_image, ["python3", "/app/scripts/run_petals_seeder.py", "--help"]
    )
    assert "--model-name" in said
    assert "--node-token" in said


def test_nothing_for_building_is_in_it(petals_image: str, client: docker.DockerClient) -> None:
    found = in_image(
        client,
        petals_image,
        [
            "bash",
            "-c",
            "which uv pip gcc cc nvcc; ls -d /build /opt/uv; cd /opt/petals/lib/python3.11;"
            "ls -d site-packages/nvidia* site-packages/pip site-packages/torch/include;"
            "find / -xdev -not -path '/proc/*' \\( -name '*.whl' -o -name '*.pem' -path '/build/*'"
            " -o -name 'libcu*.so*' -o -name .cache -path '/opt/*' \\) | grep -v ensurepip;"
            "ls -A /root/.cache/huggingface /root/.torbiz/logs",
        ],
        working_dir="/",
    )
    left = [line for line in found.splitlines() if "No such file" not in line and line.strip()]
    left = [
        line for line in left if not line.startswith(("ls:", "find:", "/root/")) or "No" in line
    ]
    # Debian's own wheels for ensurepip belong to the base image.
    assert [line for line in left if not line.startswith("/usr/share/python-wheels/")] == []


def test_all_that_is_imported_was_compiled(petals_image: str, client: docker.DockerClient) -> None:
    """A read-only container could not keep what it compiles, and would compile at each start."""
    look = (
        "import os, sys, torch, sympy, networkx, transformers\n"
        "specs = [m.__spec__ for m in list(sys.modules.values()) if getattr(m, '__spec__', None)]\n"
        "ours = [s for s in specs if (s.origin or '').startswith('/opt/petals')"
        " and s.origin.endswith('.py')]\n"
        "print(len(ours), [s.name for s in ours if not os.path.exists(s.cached)])\n"
    )
    number, missing = (
        in_image(client, petals_image, ["python3", "-c", look]).splitlines()[-1].split(" ", 1)
    )
    assert int(number) > 500
    assert missing.strip() == "[]"


async def test_setup_finds_it_ready_and_verifies_it_once(
    own_tag: str, set_up: Callable[..., Setup], client: docker.DockerClient
) -> None:
    setup = set_up(own_tag)
    found = await setup.image.check()
    assert found.readiness == "ready"
    assert f"by version {__version__}" in found.detail
    assert " GB, built " in found.detail

    before = await setup.verify.check()
    assert (before.readiness, before.detail) == ("missing", "Not verified yet")
    await setup.verify.apply(setup.report)
    after = await setup.verify.check()
    assert after.readiness == "ready"
    assert "petals 2.2.0.post1" in after.detail
    assert "torch 2.13.0+cpu on cpu" in after.detail
    assert probes(client, own_tag) == []

    # Another image under the same name has to prove itself again.
    setup_again = set_up(own_tag)
    assert (await setup_again.verify.check()).readiness == "ready"


async def test_a_cancelled_verification_leaves_no_container(
    own_tag: str, set_up: Callable[..., Setup], client: docker.DockerClient
) -> None:
    setup = set_up(own_tag)
    task = asyncio.create_task(setup.verify.apply(setup.report))
    deadline = time.monotonic() + 60
    while not any("importing" in text for text in setup.texts):
        assert time.monotonic() < deadline, setup.texts
        await asyncio.sleep(0.05)
    assert probes(client, own_tag) != []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert probes(client, own_tag) == []
    assert (await setup.verify.check()).readiness == "missing"


async def test_a_verification_that_is_cancelled_at_once_leaves_no_container(
    own_tag: str, set_up: Callable[..., Setup], client: docker.DockerClient
) -> None:
    setup = set_up(own_tag)
    task = asyncio.create_task(setup.verify.apply(setup.report))
    deadline = time.monotonic() + 60
    while not probes(client, own_tag):
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert probes(client, own_tag) == []


def probes(client: docker.DockerClient, tag: str) -> list[str]:
    name = tag.partition(":")[0]
    return [
        str(box["Names"])
        for box in client.api.containers(all=True, filters={"name": f"{name}-verify-"})
    ]


async def test_an_image_that_was_deleted_is_missing_again(
    own_tag: str, set_up: Callable[..., Setup], client: docker.DockerClient
) -> None:
    setup = set_up(own_tag)
    assert (await setup.image.check()).readiness == "ready"
    client.images.remove(own_tag)
    found = await setup.image.check()
    assert found.readiness == "missing"
    assert "is not built yet" in found.detail
    assert (await setup.verify.check()).readiness == "missing"
    with pytest.raises(TorbizError) as caught:
        await setup.verify.apply(setup.report)
    assert caught.value.code == "no_image"


async def test_an_image_from_other_inputs_is_to_be_rebuilt(
    labelled: Callable[[dict[str, str]], str], set_up: Callable[..., Setup]
) -> None:
    tag = labelled({LABEL_VERSION: "0.0.9", LABEL_DIGEST: "0123456789abcdef"})
    found = await set_up(tag).image.check()
    assert found.readiness == "missing"
    assert "by version 0.0.9 from other inputs than now" in found.detail
    found = await set_up(tag, petals__channel="main").image.check()
    assert found.readiness == "missing"
    assert "by version 0.0.9 from Petals' channel release, not main" in found.detail


async def test_other_inputs_make_the_same_image_stale(
    own_tag: str, set_up: Callable[..., Setup]
) -> None:
    assert (
        await set_up(own_tag, docker__base_image="debian:bookworm").image.check()
    ).readiness == ("missing")
    assert (await set_up(own_tag, docker__platform="linux/arm64").image.check()).readiness == (
        "missing"
    )
    # Where packages come from does not change what they are.
    elsewhere = set_up(own_tag, petals__index_url="https://example.org/simple")
    assert (await elsewhere.image.check()).readiness == "ready"


async def test_an_image_of_somebody_else_is_not_replaced_unasked(
    labelled: Callable[[dict[str, str]], str], set_up: Callable[..., Setup]
) -> None:
    tag = labelled({"maintainer": "Torbiz Desktop"})
    setup = set_up(tag)
    found = await setup.image.check()
    assert found.readiness == "ready"
    assert "not by this program" in found.detail
    state = await setup.petals.state(await setup.finder.engine())
    assert state is not None
    assert not state.ours
    # It does not hold Petals; the verification says so, and what to do.
    with pytest.raises(TorbizError) as caught:
        await setup.verify.apply(setup.report)
    assert caught.value.code == "image_broken"
    assert "ModuleNotFoundError" in caught.value.why
    assert "has not built this image" in caught.value.remedy


async def test_cuda_is_refused_where_the_engine_has_no_toolkit(
    own_tag: str, set_up: Callable[..., Setup], engine: Engine
) -> None:
    if engine.facts.nvidia:
        pytest.skip("this engine can give GPUs")
    setup = set_up(own_tag, petals__torch="cuda")
    found = await setup.image.check()
    assert found.readiness == "blocked"
    assert "NVIDIA Container Toolkit" in found.detail
    assert "petals.torch" in found.instruction
    with pytest.raises(BlockedError) as caught:
        await setup.petals.build(engine, setup.report)
    assert caught.value.code == "no_nvidia_toolkit"


def test_it_runs_as_this_user_on_a_read_only_disk(
    petals_image: str, client: docker.DockerClient
) -> None:
    said = in_image(client, petals_image, ["python3", "-c", "import os; print(os.getuid())"])
    assert said.strip() == "12345"
    assert os.getuid() != 12345
