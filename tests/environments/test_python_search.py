"""Finding a Python: which ones were looked at, and why each was refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from torbiz_tui.environments.python_search import find_python


def fake_python(
    folder: Path,
    name: str,
    version: tuple[int, int, int],
    implementation: str = "CPython",
    bits: int = 64,
) -> Path:
    """A program that answers the probe as such a Python would."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    answer = json.dumps([list(version), implementation, bits, str(file), "build"])
    file.write_text(f"#!/bin/sh\necho '{answer}'\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def empty_home(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path / "home"),
        "PATH": str(tmp_path / "bin"),
        "PYENV_ROOT": str(tmp_path / "pyenv"),
    }


async def test_this_python_is_found_and_real() -> None:
    search = await find_python(sys.executable)
    assert search.chosen is not None or sys.version_info >= (3, 13)
    assert search.candidates[0].version == sys.version_info[:3]


async def test_3_11_is_preferred(tmp_path: Path, empty_home: dict[str, str]) -> None:
    folder = tmp_path / "bin"
    fake_python(folder, "python3.12", (3, 12, 4))
    fake_python(folder, "python3.10", (3, 10, 9))
    wanted = fake_python(folder, "python3.11", (3, 11, 7))
    own = fake_python(tmp_path / "own", "python3", (3, 13, 0))
    search = await find_python(environ=empty_home, own=str(own))
    assert search.chosen is not None
    assert search.chosen.path == wanted


async def test_each_refusal_has_its_reason(tmp_path: Path, empty_home: dict[str, str]) -> None:
    folder = tmp_path / "bin"
    fake_python(folder, "python3.11", (3, 11, 7), implementation="PyPy")
    fake_python(folder, "python3.10", (3, 10, 2), bits=32)
    fake_python(folder, "python3", (3, 8, 1))
    broken = folder / "python3.12"
    broken.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    broken.chmod(0o755)
    own = fake_python(tmp_path / "own", "python3", (3, 13, 0))
    search = await find_python(environ=empty_home, own=str(own))
    refusals = {candidate.path.name: candidate.refusal for candidate in search.candidates[1:]}
    assert "PyPy" in refusals["python3.11"]
    assert "32-bit" in refusals["python3.10"]
    assert "too old" in refusals["python3"]
    assert "command not found" in refusals["python3.12"]
    assert "too new" in search.candidates[0].refusal


async def test_a_wanted_python_is_the_only_candidate(
    tmp_path: Path, empty_home: dict[str, str]
) -> None:
    fake_python(tmp_path / "bin", "python3.11", (3, 11, 7))
    search = await find_python(str(tmp_path / "nothing" / "python"), environ=empty_home)
    assert search.chosen is None
    assert len(search.candidates) == 1
    assert "cannot be started" in search.candidates[0].refusal


async def test_pyenv_versions_are_looked_at(tmp_path: Path, empty_home: dict[str, str]) -> None:
    wanted = fake_python(tmp_path / "pyenv/versions/3.11.9/bin", "python3", (3, 11, 9))
    own = fake_python(tmp_path / "own", "python3", (3, 13, 0))
    search = await find_python(environ=empty_home, own=str(own))
    fitting = [candidate.path for candidate in search.candidates if candidate.fits]
    assert wanted in fitting
