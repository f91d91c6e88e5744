"""The built wheel, installed into an empty venv, works the same from any folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.conftest import free_port
from torbiz_tui import __version__
from torbiz_tui.paths import Paths

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.wheel, pytest.mark.swarm]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`torbiz-tui` as pip installs it into a venv that has nothing else."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin" / "pip", "install", "--quiet", wheel], check=True)
    return venv / "bin" / "torbiz-tui"


def test_the_wheel_holds_what_the_program_needs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = "torbiz_tui/_bundled/"
    for needed in (
        "runner_scripts/run_petals_seeder.py",
        "runner_scripts/run_petals_inference.py",
        "runner_scripts/supervise_server.py",
        "runner_scripts/demo_model/model.safetensors",
        "runner_scripts/demo_training/train.py",
        "images/petals/requirements.txt",
        "config.example.yaml",
    ):
        assert inside + needed in names
    assert "torbiz_tui/screens/setup.tcss" in names
    folders = {part for name in names for part in PurePosixPath(name).parts[:-1]}
    assert not [folder for folder in folders if "cache" in folder]
    assert not [name for name in names if name.startswith("tests/")]


def test_doctor_and_ask_from_another_folder(program: Path, demo_home: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments, "--demo", "--home", demo_home],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=180,
            stdin=subprocess.DEVNULL,
        )

    assert run("--version").stdout.split()[-1] == __version__
    doctor = run("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    shared = run("share", "--wait", "--port", str(free_port()))
    assert shared.returncode == 0, shared.stderr
    try:
        asked = run("ask", "How do I stop sharing?")
        assert asked.returncode == 0, asked.stderr
        assert "stop" in asked.stdout.lower()
        record = (Paths(demo_home).run / "server.json").read_text("utf-8")
        assert "_bundled/runner_scripts/demo_model" in record
    finally:
        assert run("stop").returncode == 0
