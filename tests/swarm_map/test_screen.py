"""The map in the app, with looks that are given."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.app.conftest import MODELS, app_of
from tests.app.fakes import SPEC, FakeServices, fake_services
from tests.app.seeing import screen_text, until, until_gone, until_matched, until_shown
from tests.swarm_map.monitors import SentMonitor
from tests.swarm_map.swarms import crowd, server, snapshot
from torbiz_tui import catalogue
from torbiz_tui.app import TorbizApp
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.logs.writing import start_logging
from torbiz_tui.sharing.state import Phase, SharingState
from torbiz_tui.swarm_map.monitor import Looking, Trouble

OWN = "/ip4/192.0.2.7/tcp/31337/p2p/12D3KooWQzx9000001"


@pytest.fixture
def monitor() -> SentMonitor:
    return SentMonitor()


@pytest.fixture
def services(tmp_path: Path, monitor: SentMonitor, monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    monkeypatch.setattr(catalogue, "known_models", lambda paths: list(MODELS))
    made = fake_services(tmp_path / "home")
    start_logging(made.paths)
    made.sharing.state = SharingState(
        phase=Phase.SERVING, spec=SPEC, blocks=(0, 4), addresses=(OWN,)
    )
    monkeypatch.setattr(made, "swarm_monitor", monitor, raising=False)
    return made


async def open_map(pilot: Any, monitor: SentMonitor) -> None:
    await until_shown(pilot, "Stop sharing")
    await pilot.press("m")
    await until(pilot, lambda: monitor.models, "a monitor")


async def test_the_map_is_drawn_anew_with_each_look(
    services: FakeServices, monitor: SentMonitor
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_map(pilot, monitor)
        assert monitor.models == ["torbiz-demo"]
        monitor.queue.put_nowait(Looking("connecting"))
        await until_shown(pilot, "Swarm of torbiz-demo", "Connecting to the swarm…")
        monitor.queue.put_nowait(snapshot(8, server(1, 0, 4)))
        await until_shown(pilot, "Nobody serves 4–7.", "yours     @@@@", "@ 0–3", "As it was")
        monitor.queue.put_nowait(snapshot(8, server(1, 0, 4), server(2, 4, 8)))
        await until_shown(pilot, "Whole: all 8 blocks are served. 2 online", "…000002")
        await until_gone(pilot, "Nobody serves")
        await pilot.press("escape")
        await until_shown(pilot, "Stop sharing")
        await until(pilot, lambda: monitor.closed, "the monitor's end")


async def test_says_at_once_what_it_does_and_shows_how_the_swarm_was(
    services: FakeServices, monitor: SentMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torbiz_tui.screens.swarm._SAID_AFTER_S", 0.0)
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_map(pilot, monitor)
        await until_shown(pilot, "Looking for the swarm of torbiz-demo.")
        await until_matched(pilot, r"whom to ask… \d+ s")
        last = snapshot(8, server(1, 0, 8), looked_at=time.time() - 90)
        monitor.queue.put_nowait(Looking("connecting", "192.0.2.7:31337"))
        await until_shown(pilot, "the swarm of torbiz-demo at 192.0.2.7:31337.", "Connecting")
        monitor.queue.put_nowait(Looking("looking", "192.0.2.7:31337", last))
        await until_shown(pilot, "Whole: all 8 blocks", "Looking up")
        await until_matched(pilot, r"As it was [12] min \d+ s ago")
        monitor.queue.put_nowait(snapshot(8, server(1, 0, 4), looked_at=time.time()))
        await until_shown(pilot, "Nobody serves 4–7.")
        await until_matched(pilot, r"As it was \d+ s ago\.")


async def test_who_has_a_block_is_found(services: FakeServices, monitor: SentMonitor) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_map(pilot, monitor)
        monitor.queue.put_nowait(crowd())
        await until_shown(pilot, "block     0")
        await pilot.press("slash", "5")
        await until_shown(pilot, "of 200 servers have block 5")
        monitor.queue.put_nowait(crowd())
        await pilot.press("enter", "s")
        await until_shown(pilot, "of 200 servers have block 5", "sorted by throughput")
        await pilot.press("escape")
        await until_gone(pilot, "have block 5")
        await until_shown(pilot, "Swarm of torbiz-demo", "block     0")


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (40, 12)])
async def test_a_big_swarm_is_read_by_scrolling(
    services: FakeServices, monitor: SentMonitor, size: tuple[int, int]
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "serving" in screen_text(app), "the server")
        await pilot.press("m")
        monitor.queue.put_nowait(crowd())
        await until_shown(pilot, "block     0")
        await pilot.press("G")
        last = crowd().servers[-1]
        await until_shown(pilot, last.short_id)
        monitor.queue.put_nowait(crowd())
        await pilot.pause()
        # A look does not take away the place that is read.
        await until_shown(pilot, last.short_id)
        await pilot.press("g")
        await until_shown(pilot, "block     0")


async def test_troubles_are_told_below_the_last_look(
    services: FakeServices, monitor: SentMonitor
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_map(pilot, monitor)
        monitor.queue.put_nowait(snapshot(8, server(1, 0, 8)))
        await until_shown(pilot, "Whole: all 8 blocks")
        monitor.queue.put_nowait(Trouble(TorbizError("The swarm's monitor has ended."), 2.0))
        await until_shown(pilot, "Whole: all 8 blocks", "The swarm's monitor has ended.")
        monitor.queue.put_nowait(snapshot(8, server(1, 0, 8)))
        await until_gone(pilot, "The swarm's monitor has ended.")


async def test_a_model_that_does_not_exist_is_told_and_r_tries_again(
    services: FakeServices, monitor: SentMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(SentMonitor):
        async def watch(self, model: str, period_s: float = 5.0) -> Any:
            self.models.append(model)
            raise UsageError("There is no model 'x'.")
            yield

    refusing = Refusing()
    monkeypatch.setattr(services, "swarm_monitor", refusing)
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_map(pilot, refusing)
        await until_shown(pilot, "There is no model 'x'.")
        await pilot.press("r")
        await until(pilot, lambda: len(refusing.models) == 2, "a second try")


async def test_the_form_and_ask_open_the_map_of_their_model(
    services: FakeServices, monitor: SentMonitor
) -> None:
    services.sharing.state = SharingState()
    services.inference.model = "owner/big"
    app: TorbizApp = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Start sharing")
        await pilot.press("f9")
        await until_shown(pilot, "Swarm of torbiz-demo")
        await pilot.press("escape")
        await pilot.press("f3")
        await until_shown(pilot, "Ask a question")
        await pilot.press("f9")
        await until_shown(pilot, "Swarm of owner/big")
        assert monitor.models == ["torbiz-demo", "owner/big"]


def test_a_server_marked_as_own_is_no_longer_when_it_has_ended() -> None:
    marked = snapshot(8, server(1, 0, 4)).marked(["12D3KooWQzx9000001"])
    assert marked.servers[0].own
    assert marked.marked([]).servers == (replace(marked.servers[0], own=False),)
