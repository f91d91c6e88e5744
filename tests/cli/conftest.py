"""A home of its own and scripted services for each test of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.fakes import Scene


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _no_settings_from_outside: None) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("TORBIZ_HOME", str(folder))
    # The model cache of whoever runs the tests has sizes of its own.
    monkeypatch.setenv("TORBIZ_DOCKER_MODEL_CACHE", str(tmp_path / "huggingface"))
    return folder


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene()
    monkeypatch.setattr("torbiz_tui.commands.running.build_services", made.build)
    return made
