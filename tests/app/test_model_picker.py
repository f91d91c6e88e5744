"""The list of models says what fits on this machine."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from textual.widgets import OptionList

from tests.app.conftest import MODELS, app_of
from tests.app.fakes import FakeServices
from tests.app.seeing import until_shown
from torbiz_tui import catalogue, hardware
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.catalogue.published import PUBLISHED
from torbiz_tui.config import ShareConfig
from torbiz_tui.hardware import Hardware

GIB = 2**30
BELUGA = next(model.info() for model in PUBLISHED if model.name == "petals-team/StableBeluga2")
MACHINE = Hardware(cores=4, memory=64 * GIB, memory_available=32 * GIB)


@pytest.fixture
def slow_machine(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The machine is known when this is set."""
    known = threading.Event()

    def look() -> Hardware:
        known.wait(30)
        return MACHINE

    models: list[ModelInfo] = [*MODELS, BELUGA]
    monkeypatch.setattr(catalogue, "known_models", lambda paths: models)
    monkeypatch.setattr(hardware, "look", look)
    return known


async def test_what_fits_is_said_when_it_is_known(
    services: FakeServices, slow_machine: threading.Event
) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+t")
        await until_shown(pilot, "petals-team/StableBeluga2", "80 blocks, 70B chat model")
        await pilot.press("down")
        slow_machine.set()
        await until_shown(pilot, "petals-team/StableBeluga2  fits 14 of 80, 70B chat model")
        await until_shown(pilot, "80 blocks, big", "8 blocks, chosen now")
        assert app.screen.query_one("#models", OptionList).highlighted == 1


async def test_a_device_that_is_not_there_is_said(
    services: FakeServices, slow_machine: threading.Event
) -> None:
    slow_machine.set()
    services.config = replace(services.config, share=ShareConfig(device="cuda"))
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+t")
        await until_shown(pilot, "There is no device cuda.", "shows no NVIDIA GPUs")
        await until_shown(pilot, "80 blocks, 70B chat model")
