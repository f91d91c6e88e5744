"""The app on fake services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.fakes import FakeServices, fake_services
from torbiz_tui import catalogue, hardware
from torbiz_tui.app import TorbizApp
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.errors import TorbizError
from torbiz_tui.hardware import Hardware
from torbiz_tui.logs.writing import start_logging
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Step

MODELS = [
    ModelInfo("torbiz-demo", "/models/demo", "llama", 8, demo=True),
    ModelInfo("owner/big", "owner/big", "llama", 80, note="big"),
]


MACHINE = Hardware(cores=4, memory=8 * 2**30, memory_available=4 * 2**30)


@pytest.fixture(autouse=True)
def _known_models(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(name: str, paths: Paths, **_: object) -> ModelInfo:
        raise TorbizError("The model hub cannot be reached.", code="hub_unreachable")

    monkeypatch.setattr(catalogue, "known_models", lambda paths: list(MODELS))
    monkeypatch.setattr(catalogue, "resolve_model", resolve)
    monkeypatch.setattr(hardware, "look", lambda: MACHINE)


@pytest.fixture
def services(tmp_path: Path) -> FakeServices:
    made = fake_services(tmp_path / "home")
    start_logging(made.paths)
    return made


@pytest.fixture
def with_steps(tmp_path: Path) -> Callable[..., FakeServices]:
    def make(*steps: Step) -> FakeServices:
        return fake_services(tmp_path / "home", *steps)

    return make


def app_of(services: FakeServices, first: str = "ask") -> TorbizApp:
    return TorbizApp(services.typed(), first)
