"""`cache` lists the models that were downloaded, and removes one."""

from __future__ import annotations

import fcntl
import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.fakes import Scene
from torbiz_tui.cli import main
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.paths import Paths
from torbiz_tui.pickled_weights import AllowedPickles
from torbiz_tui.sharing.state import Phase, SharingState

Capture = pytest.CaptureFixture[str]
MB = 1_000_000


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Scripted services, and a home and a shared cache with models in them."""
    monkeypatch.setenv("TORBIZ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORBIZ_DOCKER_MODEL_CACHE", str(tmp_path / "huggingface"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for folder in ("home/cache", "huggingface/petals", "huggingface/hub"):
        make(tmp_path / folder / "models--acme--tiny")
    make(tmp_path / "huggingface" / "hub" / "models--other--big")
    (tmp_path / "home" / "cache" / "models--evil\x1b[2J").mkdir()
    made = Scene()
    monkeypatch.setattr("torbiz_tui.commands.running.build_services", made.build)
    return made


def make(folder: Path) -> None:
    for name in ("blobs", "snapshots/abc", "refs"):
        (folder / name).mkdir(parents=True)
    (folder / "blobs" / "11").write_bytes(bytes(MB))
    (folder / "blobs" / "22.incomplete").write_bytes(bytes(MB // 2))
    (folder / "snapshots" / "abc" / "model.safetensors").symlink_to("../../blobs/11")


def folders(tmp_path: Path) -> list[str]:
    return sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("models--[ao]*"))


def test_all_places_are_listed(scene: Scene, capsys: Capture, tmp_path: Path) -> None:
    assert main(["cache", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [(model["name"], model["place"]) for model in models] == [
        ("acme/tiny", "container_models"),
        ("acme/tiny", "models"),
        ("acme/tiny", "model_cache"),
        ("other/big", "model_cache"),
    ]
    assert all(model["revisions"] == ["abc"] for model in models)
    assert all(1.5 * MB <= model["bytes"] < 1.6 * MB for model in models)
    assert all(model["partial_bytes"] == MB // 2 for model in models)
    assert main(["cache"]) == 0
    told = capsys.readouterr().out
    assert "acme/tiny" in told
    assert "\x1b" not in told


def test_one_model_goes_from_our_places_alone(
    scene: Scene, capsys: Capture, tmp_path: Path
) -> None:
    assert main(["cache", "clean", "acme/tiny", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] >= 3 * MB
    assert folders(tmp_path) == [
        "huggingface/hub/models--acme--tiny",
        "huggingface/hub/models--other--big",
    ]
    assert main(["cache", "clean", "acme/tiny", "--yes"]) == 2
    assert "--shared" in capsys.readouterr().err
    assert main(["cache", "clean", "acme/tiny", "--yes", "--shared"]) == 0
    assert folders(tmp_path) == ["huggingface/hub/models--other--big"]


def test_what_is_shared_or_downloaded_stays(scene: Scene, capsys: Capture, tmp_path: Path) -> None:
    before = folders(tmp_path)
    scene.state = SharingState(phase=Phase.SERVING, spec=ServerSpec("acme/tiny", "acme/tiny", 8))
    assert main(["cache", "clean", "acme/tiny", "--yes"]) == 1
    assert "is being shared" in capsys.readouterr().err
    assert folders(tmp_path) == before
    scene.state = SharingState()
    lock = tmp_path / "home" / "cache" / ".locks" / "models--acme--tiny.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["cache", "clean", "acme/tiny", "--yes"]) == 1
    assert "being downloaded" in capsys.readouterr().err
    assert "home/cache/models--acme--tiny" in folders(tmp_path)


def test_an_agreement_to_pickled_weights_goes_with_the_model(
    scene: Scene, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    allowed = AllowedPickles(Paths(tmp_path / "home"))
    allowed.allow("acme/tiny")
    allowed.allow(str(folder))
    assert main(["cache", "clean", "acme/tiny"]) == 2
    assert allowed.allows("acme/tiny")
    assert main(["cache", "clean", "Acme/Tiny", "--yes"]) == 0
    assert not allowed.allows("acme/tiny")
    # A model in a folder stays there, and is asked about again.
    monkeypatch.chdir(tmp_path)
    assert main(["cache", "clean", "./own"]) == 0
    assert not allowed.allows(str(folder))
    assert "you will be asked" in capsys.readouterr().err
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["clean"], "Which model"),
        (["clean", "no/such"], "No model no/such is cached."),
        (["clean", "acme/tiny"], "Pass --yes to agree."),
        (["list", "acme/tiny"], "takes no name"),
    ],
)
def test_wrong_calls(scene: Scene, capsys: Capture, arguments: list[str], sentence: str) -> None:
    assert main(["cache", *arguments]) == 2
    assert sentence in capsys.readouterr().err
