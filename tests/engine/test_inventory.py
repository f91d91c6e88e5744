"""What the engine holds is listed, ours is marked, and single things can be done with it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pexpect
import pytest

from tests.engine.labelled import MB, build
from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.inventory import DockerInventory, Overview
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths

pytestmark = pytest.mark.engine
Run = Callable[..., str]
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


@pytest.fixture
def config(engine: Engine, engine_name: Callable[[str], str]) -> DockerConfig:
    return DockerConfig(
        host=engine.endpoint.address,
        image=f"{engine_name('image')}:latest",
        container=engine_name("seeder"),
    )


@pytest.fixture
def inventory(config: DockerConfig) -> Iterator[DockerInventory]:
    made = DockerInventory(EngineFinder(config), config)
    yield made
    made.close()


@pytest.fixture
def image(client: docker.DockerClient, config: DockerConfig, base_image: str) -> Iterator[str]:
    """An image of ours, under the configured tag."""
    text = f"FROM {base_image}\nCOPY own /own\nLABEL torbiz-tui.role=image torbiz-tui.version=9.9\\x1b[31m"
    build(client, text.replace("\\x1b", "\x1b"), config.image, {"own": 3 * MB})
    yield config.image
    try:
        client.images.remove(config.image, force=True)
    except docker.errors.ImageNotFound:
        return


@pytest.fixture
def run(client: docker.DockerClient, image: str) -> Iterator[Run]:
    """Starts a container from our image, with the seeder's label unless `labels` are given."""
    started = []

    def start(name: str, labels: dict[str, str] | None = None, says: str = "") -> str:
        made = client.containers.run(
            image,
            ["echo", says] if says else SLEEP,
            name=name,
            detach=True,
            network_mode="none",
            labels={"torbiz-tui.role": "seeder"} if labels is None else labels,
        )
        started.append(made)
        return str(made.id)

    yield start
    for container in started:
        try:
            container.remove(force=True)
        except docker.errors.NotFound:
            continue


async def test_ours_and_others_are_told_apart(
    inventory: DockerInventory,
    config: DockerConfig,
    run: Run,
    engine_name: Callable[[str], str],
    base_image: str,
    client: docker.DockerClient,
) -> None:
    run(config.container)
    other = engine_name("other")
    # Made from our image, it inherits the image's labels, and still is the person's own.
    run(other, labels={})
    client.containers.get(other).pause()
    overview = await inventory.overview()
    boxes = {box.name: box for box in overview.containers}
    ours = boxes[config.container]
    assert (ours.owner, ours.state, ours.image) == (Owner.OURS, "running", config.image)
    assert ours.status.startswith("Up ")
    assert (boxes[other].owner, boxes[other].paused) == (Owner.OTHER, True)
    images = {image.name: image for image in overview.images}
    own = images[config.image]
    assert (own.owner, own.role, set(own.used_by)) == (
        Owner.OURS, "image", {config.container, other},
    )  # fmt: skip
    assert own.unique_bytes == 3 * MB
    assert own.size_bytes == images[base_image].size_bytes + 3 * MB
    assert images[base_image].owner is Owner.OTHER
    # Text of an image is not acted upon.
    assert "\x1b" not in own.version
    assert overview.ours_bytes is not None
    assert overview.total_bytes is not None
    assert overview.ours_bytes < overview.total_bytes
    assert overview.engine_text.startswith(
        f"{overview.facts.name} {overview.facts.version} at unix:"
    )


def _held(overview: Overview) -> tuple[set[str], set[tuple[str, bool]]]:
    return (
        {image.id for image in overview.images},
        {(box.name, box.running) for box in overview.containers},
    )


async def test_prune_is_explained_with_what_it_would_take(
    inventory: DockerInventory, image: str
) -> None:
    # Other tests use the engine too: what is compared has to be of one moment.
    async with asyncio.timeout(180):
        while True:
            overview = await inventory.overview()
            prune = next(command for command in await inventory.commands() if command.id == "prune")
            if _held(await inventory.overview()) == _held(overview):
                break
    assert prune.line.startswith("docker ")
    assert prune.line.endswith(" system prune -a")
    assert not prune.offered
    unused = [
        known
        for known in overview.images
        if not any(box.running and box.image_id == known.id for box in overview.containers)
    ]
    foreign = [known for known in unused if known.owner is Owner.OTHER]
    assert f"{len(unused)} images now ({len(foreign)} not of this program, at least" in prune.note
    assert "does not run it" in prune.note


async def test_a_container_is_stopped_gracefully_and_removed(
    inventory: DockerInventory, config: DockerConfig, run: Run, client: docker.DockerClient
) -> None:
    run(config.container)
    with pytest.raises(TorbizError, match="is running"):
        await inventory.remove_container()
    client.containers.get(config.container).pause()
    assert await inventory.stop_container() == f"{config.container} is stopped (exit code 0)."
    assert await inventory.stop_container() == f"{config.container} has stopped already."
    await inventory.remove_container()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(config.container)
    with pytest.raises(TorbizError, match="There is no container"):
        await inventory.stop_container()


async def test_the_rest_of_its_log_is_kept_when_a_container_is_removed(
    config: DockerConfig, run: Run, client: docker.DockerClient, tmp_path: Path
) -> None:
    paths = Paths(tmp_path / "home")
    paths.ensure()
    inventory = DockerInventory(EngineFinder(config), config, paths=paths)
    run(config.container, says="its last words")
    client.containers.get(config.container).wait()
    await inventory.remove_container()
    assert "its last words" in (paths.logs / "container.log").read_text()
    inventory.close()


async def test_a_paused_container_goes_on(
    inventory: DockerInventory, config: DockerConfig, run: Run, client: docker.DockerClient
) -> None:
    run(config.container)
    client.containers.get(config.container).pause()
    await inventory.unpause()
    assert client.containers.get(config.container).status == "running"
    await inventory.unpause()


async def test_what_is_not_ours_is_left_alone(
    inventory: DockerInventory,
    run: Run,
    engine_name: Callable[[str], str],
    base_image: str,
    client: docker.DockerClient,
) -> None:
    other = engine_name("other")
    run(other, labels={})
    for refused in (
        inventory.stop_container(other),
        inventory.remove_container(other),
        inventory.remove_image(base_image),
    ):
        with pytest.raises(TorbizError) as error:
            await refused
        assert error.value.code == "not_ours"
    assert client.containers.get(other).status == "running"
    assert client.images.get(base_image)


async def test_an_image_in_use_says_who_uses_it(
    inventory: DockerInventory, config: DockerConfig, run: Run, client: docker.DockerClient
) -> None:
    run(config.container)
    with pytest.raises(TorbizError) as error:
        await inventory.remove_image()
    assert error.value.code == "in_use"
    assert config.container in error.value.why
    client.containers.get(config.container).remove(force=True)
    assert await inventory.remove_image() == 3 * MB
    with pytest.raises(TorbizError) as error:
        await inventory.remove_image()
    assert error.value.code == "no_image"


@pytest.mark.skipif(not shutil.which("docker"), reason="the docker command is not installed")
async def test_the_shell_command_opens_a_shell(
    inventory: DockerInventory, config: DockerConfig, run: Run, client: docker.DockerClient
) -> None:
    with pytest.raises(TorbizError) as error:
        await inventory.shell_command()
    assert error.value.code == "no_container"
    run(config.container)
    argv = await inventory.shell_command()
    assert argv[-4:] == ["exec", "-it", config.container, "bash"]
    shell = pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=20)
    try:
        shell.sendline("ls /own && echo $((40 + 2))")
        shell.expect_exact("/own\r\n42")
        shell.sendline("exit")
        shell.expect(pexpect.EOF)
    finally:
        shell.close(force=True)
    client.containers.get(config.container).pause()
    with pytest.raises(TorbizError, match="is paused"):
        await inventory.shell_command()


async def test_a_container_without_bash_gets_sh(
    inventory: DockerInventory,
    config: DockerConfig,
    base_image: str,
    client: docker.DockerClient,
    engine_name: Callable[[str], str],
) -> None:
    if not shutil.which("docker"):
        pytest.skip("the docker command is not installed")
    tag = engine_name("plain")
    build(client, f"FROM {base_image}\nRUN rm /bin/bash", tag)
    try:
        client.containers.run(tag, SLEEP, name=config.container, detach=True, network_mode="none")
        assert (await inventory.shell_command())[-1] == "sh"
    finally:
        client.containers.get(config.container).remove(force=True)
        client.images.remove(tag)


async def test_without_the_docker_command_there_is_a_sentence(
    inventory: DockerInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TorbizError) as error:
        await inventory.shell_command()
    assert error.value.code == "no_docker_client"
    assert "docker-cli" in error.value.remedy
