"""`clean` frees what the program made, says how much, and leaves the rest alone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from filelock import FileLock

from torbiz_tui.cli import main
from torbiz_tui.paths import Paths

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]
MB = 1_000_000


@pytest.fixture(autouse=True)
def _no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORBIZ_DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("TORBIZ_DOCKER_MODEL_CACHE", str(tmp_path / "huggingface"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


@pytest.fixture
def paths(home: Path) -> Paths:
    """A home with something in every part."""
    paths = Paths(home)
    paths.ensure()
    cache = home.parent / "huggingface"
    for file in (
        paths.env / "torbiz-stack.json",
        paths.env / "lib" / "package.py",
        paths.cache / "models--x" / "blobs" / "weights",
        cache / "petals" / "models--y" / "weights",
        cache / "hub" / "models--of-another-program",
        paths.models / "mine" / "model.safetensors",
        paths.logs / "petals_seeder.log",
        paths.logs / "petals_seeder.log.1",
        home / "wheelhouse" / "torch.whl",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(MB))
    return paths


def parts(capsys: Capture) -> dict[str, dict[str, object]]:
    assert main(["clean", "--json"]) == 0
    return {part["id"]: part for part in json.loads(capsys.readouterr().out)["parts"]}


def is_about(size: object, wanted: int) -> bool:
    """Blocks are rounded up, and folders take some too."""
    assert isinstance(size, int)
    return wanted <= size < wanted + MB // 10


def test_every_part_is_shown_with_its_size(paths: Paths, capsys: Capture) -> None:
    found = parts(capsys)
    assert {name for name, part in found.items() if is_about(part["bytes"] or 0, MB)} == {
        "models", "container_models", "local_models", "model_cache", "wheelhouse",
    }  # fmt: skip
    assert is_about(found["env"]["bytes"], 2 * MB)
    assert is_about(found["logs"]["bytes"], 2 * MB)
    assert found["image"]["bytes"] is None
    assert found["env"]["freeable_bytes"] == found["env"]["bytes"]
    assert found["local_models"]["option"] is None
    assert main(["clean"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].split() == ["PART", "SIZE", "FREES", "WITH", "WHERE"]
    assert any(line.startswith("Petals in its venv") and "--env" in line for line in lines)
    assert any(line.startswith("Docker image") and "unknown" in line for line in lines)
    assert lines[-1].startswith("Free on this disk: ")


def test_what_is_named_goes_and_nothing_else(paths: Paths, capsys: Capture) -> None:
    cache = paths.home.parent / "huggingface"
    assert main(["clean", "--env", "--models", "--yes", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert is_about(answer["freed_bytes"]["env"], 2 * MB)
    assert is_about(answer["freed_bytes"]["models"], MB)
    assert is_about(answer["freed_bytes"]["container_models"], MB)
    assert answer["problems"] == []
    assert not paths.env.exists()
    assert not paths.cache.exists()
    assert not (cache / "petals").exists()
    assert (cache / "hub" / "models--of-another-program").stat().st_size == MB
    assert (paths.models / "mine" / "model.safetensors").stat().st_size == MB
    assert (paths.logs / "petals_seeder.log.1").exists()
    assert main(["clean", "--env", "--models", "--yes"]) == 0
    assert capsys.readouterr().out == "Freed 0.\n"


def test_logs_are_emptied_where_they_are_open(paths: Paths, capsys: Capture) -> None:
    assert main(["clean", "--logs", "--yes"]) == 0
    assert capsys.readouterr().out == "Freed 2 MB.\n"
    assert (paths.logs / "petals_seeder.log").read_bytes() == b""
    assert not (paths.logs / "petals_seeder.log.1").exists()


def test_a_dry_run_changes_nothing(paths: Paths, capsys: Capture) -> None:
    assert main(["clean", "--env", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Would free 2 MB.\n"
    assert "Petals in its venv: 2 MB, frees 2 MB" in captured.err
    assert (paths.env / "lib" / "package.py").exists()


def test_nothing_goes_when_nobody_can_agree(paths: Paths, capsys: Capture) -> None:
    assert main(["clean", "--env"]) == 2
    assert "Pass --yes to agree" in capsys.readouterr().err
    assert (paths.env / "lib" / "package.py").exists()


def test_an_engine_that_is_gone_stops_only_the_image(paths: Paths, capsys: Capture) -> None:
    assert main(["clean", "--image", "--env", "--yes", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [problem["part"] for problem in answer["problems"]] == ["image"]
    assert is_about(answer["freed_bytes"]["env"], 2 * MB)
    assert not paths.env.exists()


def test_what_other_names_keep_is_not_called_free(paths: Paths, capsys: Capture) -> None:
    """uv links packages from its cache: removing the venv does not free their bytes."""
    elsewhere = paths.home.parent / "uv-cache"
    elsewhere.mkdir()
    os.link(paths.env / "lib" / "package.py", elsewhere / "package.py")
    os.link(paths.env / "lib" / "package.py", paths.env / "lib" / "twice.py")
    found = parts(capsys)["env"]
    assert is_about(found["bytes"], 2 * MB)
    assert is_about(found["freeable_bytes"], MB)
    assert "uv cache clean" in str(found["note"])
    assert main(["clean", "--env", "--yes"]) == 0
    assert capsys.readouterr().out == "Freed 1 MB.\n"
    assert (elsewhere / "package.py").stat().st_size == MB


def test_a_link_is_not_followed(paths: Paths, capsys: Capture) -> None:
    target = paths.home.parent / "elsewhere"
    paths.env.rename(target)
    paths.env.symlink_to(target)
    (paths.cache / "precious").symlink_to(paths.models)
    assert main(["clean", "--env", "--models", "--yes"]) == 1
    assert "is a link" in capsys.readouterr().err
    assert (target / "lib" / "package.py").exists()
    assert (paths.models / "mine" / "model.safetensors").exists()
    assert not paths.cache.exists()


@pytest.fixture
def user_of_env(paths: Paths) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs from the venv, as a server does."""
    python = paths.env_python
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    process = subprocess.Popen(
        [python, "-c", "import time; time.sleep(600)", "run_petals_seeder.py"]
    )
    deadline = time.monotonic() + 10
    while str(python).encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_venv_in_use_stays(
    paths: Paths, capsys: Capture, user_of_env: subprocess.Popen[bytes]
) -> None:
    assert main(["clean", "--env", "--models", "--logs", "--yes", "--json"]) == 1
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert {(problem["part"], problem["code"]) for problem in answer["problems"]} == {
        ("env", "in_use"), ("models", "in_use"),
    }  # fmt: skip
    assert f"Process {user_of_env.pid} (run_petals_seeder.py) runs from" in captured.err
    assert paths.env_python.exists()
    assert (paths.logs / "petals_seeder.log").stat().st_size == MB
    assert answer["freed_bytes"]["container_models"] >= MB


@pytest.mark.parametrize(
    ("lock", "option", "doing"),
    [
        ("setup.lock", "--env", "installing"),
        ("image.lock", "--image", "building the image"),
        ("share.lock", "--models", "starting to share"),
    ],
)
def test_nothing_goes_while_another_brings_it(
    paths: Paths, capsys: Capture, lock: str, option: str, doing: str
) -> None:
    with FileLock(paths.run / lock):
        assert main(["clean", option, "--yes"]) == 1
    assert f"A torbiz-tui is {doing} just now" in capsys.readouterr().err
    assert (paths.env / "lib" / "package.py").exists()
    assert paths.cache.exists()


@pytest.fixture
def unremovable(paths: Paths) -> Iterator[Path]:
    """A folder that cannot be removed: a mounted one for root, one in a read-only folder else."""
    folder = paths.cache / "models--x" / "stays"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.parent.chmod(0o500)
        yield folder
        folder.parent.chmod(0o700)
        return
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_what_cannot_be_removed_is_told(paths: Paths, capsys: Capture, unremovable: Path) -> None:
    assert main(["clean", "--models", "--yes"]) == 1
    captured = capsys.readouterr()
    assert "Downloaded blocks: some of it could not be removed" in captured.err
    assert str(unremovable) in captured.err
    assert unremovable.is_dir()
    assert not (paths.home.parent / "huggingface" / "petals").exists()


def test_status_tells_the_disk_use(paths: Paths, capsys: Capture) -> None:
    assert main(["status", "--json"]) == 4
    disk = json.loads(capsys.readouterr().out)["disk"]
    assert is_about(disk["env"], 2 * MB)
    assert is_about(disk["model_cache"], MB)
    assert disk["image"] is None
    assert main(["status"]) == 4
    assert capsys.readouterr().out.splitlines() == [
        "Not sharing.",
        "disk        6 MB: venv 2 MB, blocks 1 MB, the container's blocks 1 MB, logs 2 MB",
    ]


def test_conversations_are_counted_and_stay(paths: Paths, capsys: Capture) -> None:
    wal = paths.history_file.with_name("history.db-wal")
    for file in (paths.history_file, wal):
        file.write_bytes(os.urandom(MB))
    history = parts(capsys)["history"]
    assert is_about(history["bytes"], 2 * MB)
    assert (history["freeable_bytes"], history["option"]) == (0, None)
    assert main(["status"]) == 4
    assert capsys.readouterr().out.strip().endswith("logs 2 MB, conversations 2 MB")
    assert main(["clean", "--env", "--models", "--logs", "--yes"]) == 0
    assert wal.stat().st_size == MB


@pytest.mark.parametrize(
    ("answers", "gone"),
    [
        (["y", "n", "", "\x04"], {"env"}),
        (["", "yes", "n", "n"], {"models"}),
    ],
)
def test_on_a_terminal_each_part_is_asked_for(
    paths: Paths, answers: list[str], gone: set[str]
) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "torbiz_tui.cli", "clean"], cwd=str(ROOT), encoding="utf-8",
        dimensions=(24, 160),
    )  # fmt: skip
    try:
        for question, answer in zip(
            ("Petals in its venv", "Downloaded blocks", "Blocks of the container", "Logs"),
            answers,
            strict=True,
        ):
            child.expect(f"{question}: free .* \\[y/N\\] ", timeout=60)
            child.send(answer if answer == "\x04" else f"{answer}\r")
        child.expect("Freed [12] MB", timeout=60)
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 0
    folders = {"env": paths.env, "models": paths.cache}
    assert {name for name, folder in folders.items() if not folder.exists()} == gone
