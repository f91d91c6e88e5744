"""Which model types the runner scripts accept follows from the Petals that is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "runner_scripts"


@pytest.mark.parametrize(
    ("version", "mixtral"), [("2.2.0.post1", False), ("2.3.0.dev2", True), ("3.0", True)]
)
def test_the_main_branch_serves_mixtral_too(tmp_path: Path, version: str, mixtral: bool) -> None:
    info = tmp_path / f"petals-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: petals\nVersion: {version}\n")
    script = "import model_source; print(*model_source.supported_types())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{tmp_path}:{SCRIPTS}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[:3] == ["bloom", "falcon", "llama"]
    assert ("mixtral" in done.stdout) is mixtral
