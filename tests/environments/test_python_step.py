"""The setup step for Python: what the person is told when none fits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.conftest import demo_config
from tests.environments.test_python_search import fake_python
from torbiz_tui.assembly import build_services
from torbiz_tui.environments.python_search import find_python
from torbiz_tui.errors import ExitCode
from torbiz_tui.paths import Paths
from torbiz_tui.setup.plan import StepState


async def test_none_fits_and_none_can_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fake_python(tmp_path / "bin", "python3", (3, 8, 1))
    own = fake_python(tmp_path / "own", "python3", (3, 13, 0))
    environ = {"PATH": str(old.parent), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    monkeypatch.setattr(
        "torbiz_tui.environments.native_setup.find_python",
        partial(find_python, environ=environ, own=str(own)),
    )
    # Nobody listens on port 9 of loopback.
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    home = tmp_path / "home"
    services = build_services(demo_config(home), Paths(home))
    assert await services.setup.run() is ExitCode.BLOCKED
    statuses = {status.id: status for status in services.setup.statuses}
    assert statuses["python"].state is StepState.BLOCKED
    assert "uv could not download one" in statuses["python"].detail
    assert "3.11" in statuses["python"].instruction
    looked_at = "\n".join(services.setup.output("python"))
    assert f"{old} (3.8.1): is too old" in looked_at
    assert f"{own} (3.13.0): is too new" in looked_at
    # What does not need a Python was done all the same.
    assert statuses["home"].state is statuses["demo"].state is StepState.READY
    assert statuses["petals"].state is StepState.WAITING


async def test_a_wrong_configured_python_is_named(tmp_path: Path) -> None:
    old = fake_python(tmp_path / "bin", "python3", (3, 8, 1))
    home = tmp_path / "home"
    config = demo_config(home, **{"petals.python": str(old)})
    services = build_services(config, Paths(home))
    assert await services.setup.run() is ExitCode.BLOCKED
    status = {status.id: status for status in services.setup.statuses}["python"]
    assert status.detail == f"petals.python: {old} (3.8.1): is too old; " + (
        "the stack needs 3.10, 3.11 or 3.12"
    )
    assert "Set petals.python" in status.instruction
