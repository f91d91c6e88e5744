"""Clean-up takes what is ours, frees what it said, and leaves everything else alone.

On a daemon of the test's own: a clean-up takes all that carries the label, and on a person's
engine that would be the person's own image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import copy_image
from tests.engine.labelled import MB, build, two_stages
from tests.engine.podman_service import PodmanService
from tests.engine.private_engine import PrivateEngine
from torbiz_tui.cli import main
from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.cleanup import Candidate
from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.inventory import DockerInventory

pytestmark = pytest.mark.engine
Capture = pytest.CaptureFixture[str]
IMAGE = "torbiz-petals-macos:latest"
SEEDER = "torbiz-petals-seeder"
ROLE = {"torbiz-tui.role": "seeder"}
BASE = "person/base:1"


@pytest.fixture
def own(private_engine: PrivateEngine) -> Iterator[docker.DockerClient]:
    """The SDK on the test's own engine, which holds an image that is not ours."""
    client = docker.DockerClient(base_url=private_engine.host, timeout=60)
    build(client, "FROM scratch\nCOPY base /base", BASE, {"base": 20 * MB})
    yield client
    client.close()


@pytest.fixture
def inventory(private_engine: PrivateEngine) -> Iterator[DockerInventory]:
    config = DockerConfig(host=private_engine.host)
    made = DockerInventory(EngineFinder(config), config)
    yield made
    made.close()


def on_disk(client: docker.DockerClient) -> int:
    """What the engine itself counts."""
    usage = client.api.df()
    return int(usage["LayersSize"]) + sum(box.get("SizeRw") or 0 for box in usage["Containers"])


def tags(client: docker.DockerClient) -> set[str]:
    return {tag for image in client.images.list() for tag in image.tags}


async def clean_all(inventory: DockerInventory) -> tuple[list[Candidate], int, list[str]]:
    """Clean up everything; the candidates, the bytes, and what stayed."""
    found = await inventory.cleanup_candidates()
    cleaned = await inventory.clean(found, lambda _line: None)
    return found, cleaned.bytes, [problem.what for problem in cleaned.problems]


async def test_ours_goes_and_frees_what_was_said(
    own: docker.DockerClient, inventory: DockerInventory
) -> None:
    dockerfile, files = two_stages(BASE)
    build(own, dockerfile, IMAGE, files, inputs="1")
    # A stale image that has lost its tag to a newer one, and a stage of its build.
    build(own, dockerfile, IMAGE, {**files, "own": 7 * MB}, inputs="2")
    own.containers.create(IMAGE, "x", name=SEEDER, labels=ROLE)
    own.containers.create(BASE, "x", name="somebody-elses")
    before = on_disk(own)
    assert (await inventory.overview()).ours_bytes == before - 20 * MB
    found, freed, stayed = await clean_all(inventory)
    assert {candidate.kind for candidate in found} == {"container", "image"}
    assert any(candidate.name.startswith("build-stage ") for candidate in found)
    assert stayed == []
    assert freed == sum(candidate.bytes for candidate in found) == before - on_disk(own)
    assert on_disk(own) == 20 * MB
    assert tags(own) == {BASE}
    assert own.images.list(all=True, filters={"dangling": True}) == []
    assert [box.name for box in own.containers.list(all=True)] == ["somebody-elses"]
    assert await inventory.cleanup_candidates() == []


async def test_an_image_that_somebody_built_on_ours_is_theirs(
    own: docker.DockerClient, inventory: DockerInventory
) -> None:
    dockerfile, files = two_stages(BASE)
    build(own, dockerfile, IMAGE, files, inputs="1")
    build(own, f"FROM {IMAGE}\nCOPY mine /mine", "person/derived:1", {"mine": 2 * MB})
    before = on_disk(own)
    _found, freed, stayed = await clean_all(inventory)
    # Its layers include ours, which therefore stay; only the build stage's own bytes go.
    assert freed == before - on_disk(own) == 30 * MB
    assert stayed == []
    assert tags(own) == {BASE, "person/derived:1"}
    # Also when ours has gone since.
    assert await inventory.cleanup_candidates() == []


async def test_a_name_without_our_label_is_only_a_name(
    own: docker.DockerClient, inventory: DockerInventory
) -> None:
    own.images.get(BASE).tag(IMAGE)
    before = on_disk(own)
    found, freed, stayed = await clean_all(inventory)
    assert [candidate.bytes for candidate in found] == [0]
    assert "Only this name of it goes" in found[0].why_ours
    assert (freed, stayed) == (0, [])
    assert (tags(own), on_disk(own)) == ({BASE}, before)


async def test_torbiz_desktops_image_of_the_same_name_goes(
    own: docker.DockerClient, inventory: DockerInventory
) -> None:
    build(own, "FROM scratch\nCOPY its /its", IMAGE, {"its": 4 * MB})
    found, freed, _stayed = await clean_all(inventory)
    assert "without this program's label" in found[0].why_ours
    assert freed == 4 * MB
    assert tags(own) == {BASE}


async def test_what_somebody_made_from_our_image_keeps_it(
    own: docker.DockerClient, inventory: DockerInventory
) -> None:
    dockerfile, files = two_stages(BASE)
    build(own, dockerfile, IMAGE, files, inputs="1")
    # All of its layers are also those of the image that stays.
    build(own, dockerfile, "torbiz-petals-macos:older", files, inputs="2")
    # Without the role of its own it is not ours, although it inherits the image's labels.
    own.containers.create(IMAGE, "x", name="experiment")
    before = on_disk(own)
    found, freed, stayed = await clean_all(inventory)
    held = next(candidate for candidate in found if candidate.name == IMAGE)
    assert held.in_use == "The container experiment is made from it."
    assert stayed == [f"The image {IMAGE} is in use."]
    assert "torbiz-petals-macos:older" not in tags(own)
    # The build stage goes all the same.
    assert freed == before - on_disk(own) == 30 * MB
    assert own.containers.get("experiment")
    assert IMAGE in tags(own)


async def test_a_container_that_runs_stays_with_its_image(
    own: docker.DockerClient,
    inventory: DockerInventory,
    client: docker.DockerClient,
    shell_image: str,
) -> None:
    copy_image(shell_image, client, own)
    build(own, f"FROM {shell_image}\nCOPY x /x\nLABEL torbiz-tui.role=image", IMAGE, {"x": 3 * MB})
    own.containers.run(
        IMAGE, ["sleep", "600"], name=SEEDER, labels=ROLE, detach=True, network_mode="host",
        init=True,
    )  # fmt: skip
    found, freed, stayed = await clean_all(inventory)
    assert {candidate.name: candidate.in_use for candidate in found} == {
        SEEDER: "It is running.",
        IMAGE: f"The container {SEEDER} is made from it.",
    }
    assert freed == 0
    assert stayed == [f"The container {SEEDER} is in use.", f"The image {IMAGE} is in use."]
    assert own.containers.get(SEEDER).status == "running"
    assert "is stopped" in await inventory.stop_container()
    _found, freed, stayed = await clean_all(inventory)
    assert 3 * MB <= freed < 4 * MB
    assert stayed == []
    assert tags(own) == {BASE, shell_image}


async def test_podmans_images_are_told_apart_too(
    empty_podman_service: PodmanService,
) -> None:
    """It puts a registry before short names, labels the stages as well, and counts no layers."""
    client = docker.DockerClient(base_url=empty_podman_service.host, timeout=60)
    config = DockerConfig(host=empty_podman_service.host)
    inventory = DockerInventory(EngineFinder(config), config)
    build(client, "FROM scratch\nCOPY base /base", BASE, {"base": 20 * MB})
    dockerfile, files = two_stages(f"docker.io/{BASE}")
    build(client, dockerfile, IMAGE, files, inputs="1")
    ours = f"docker.io/library/{IMAGE}"
    build(client, f"FROM {ours}\nCOPY mine /mine", "person/derived:1", {"mine": 2 * MB})
    client.containers.create(ours, "x", name=SEEDER, labels=ROLE)
    overview = await inventory.overview()
    assert {
        image.name for image in overview.images if image.owner is Owner.OURS and image.tags
    } == {ours}
    assert overview.total_bytes is None
    found, freed, stayed = await clean_all(inventory)
    assert [(candidate.kind, candidate.name.split()[0]) for candidate in found] == [
        ("container", SEEDER), ("image", "build-stage"), ("image", ours),
    ]  # fmt: skip
    # The derived image keeps the layers of ours.
    assert 30 * MB <= freed < 31 * MB
    assert stayed == []
    assert tags(client) == {f"docker.io/{BASE}", "docker.io/person/derived:1"}
    inventory.close()
    client.close()


def test_the_command_shows_and_frees(
    own: docker.DockerClient,
    private_engine: PrivateEngine,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORBIZ_DOCKER_HOST", private_engine.host)
    monkeypatch.setenv("TORBIZ_DOCKER_MODEL_CACHE", str(tmp_path / "cache"))
    home = ["--home", str(tmp_path / "home")]
    dockerfile, files = two_stages(BASE)
    build(own, dockerfile, IMAGE, files, inputs="1")
    own.containers.create(IMAGE, "x", name=SEEDER, labels=ROLE)
    run = tmp_path / "home" / "run"
    (run / "secrets" / SEEDER).mkdir(parents=True)
    (run / "secrets" / SEEDER / "node_token").write_text("x")
    (run / "image-verified.json").write_text("{}")
    before = on_disk(own)
    assert main([*home, "clean", "--json"]) == 0
    image = json.loads(capsys.readouterr().out)["parts"][0]
    # 30 MB of the stage, as layers of the stage and of the image, and 5 MB of the image's own.
    assert (image["bytes"], image["freeable_bytes"]) == (65 * MB, 65 * MB)
    assert main([*home, "clean", "--image", "--dry-run"]) == 0
    assert capsys.readouterr().out == "Would free 65 MB.\n"
    assert on_disk(own) == before
    assert main([*home, "clean", "--image", "--yes"]) == 0
    assert capsys.readouterr().out == "Freed 65 MB.\n"
    assert on_disk(own) == before - 65 * MB == 20 * MB
    assert tags(own) == {BASE}
    # What was noted of them is gone too: a token, and that the image was verified.
    assert not (run / "secrets" / SEEDER).exists()
    assert not (run / "image-verified.json").exists()
