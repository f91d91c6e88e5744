"""Sharing the demo model for real: start, serve, re-attach, die, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import demo_config
from tests.promptness import require_prompt_async
from torbiz_tui.assembly import Services, build_services
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, SharingState
from torbiz_tui.troubleshooting.symptom import Action

pytestmark = pytest.mark.swarm


def services_of(home: Path, **overrides: object) -> Services:
    return build_services(demo_config(home, **overrides), Paths(home))


async def until(sharing: SharingService, phase: Phase, timeout_s: float = 180.0) -> SharingState:
    with sharing.subscribe() as changes:
        states = aiter(changes)
        async with asyncio.timeout(timeout_s):
            while sharing.state.phase is not phase:
                await anext(states)
    return sharing.state


@pytest.fixture
async def sharing(demo_home: Path) -> AsyncIterator[SharingService]:
    services = services_of(demo_home)
    yield services.sharing
    await services.sharing.stop()
    await services.close()


async def test_from_start_to_stop(demo_home: Path, sharing: SharingService) -> None:
    await sharing.start(sharing.default_request())
    assert sharing.state.phase is Phase.STARTING
    state = await sharing.wait_serving(180)
    assert state.blocks == (0, 8)
    assert state.blocks_loaded == 8
    assert state.addresses[0].startswith("/ip4/127.0.0.1/tcp/")

    # The app was closed and opened again: the whole story is there at once.
    again = services_of(demo_home)
    attached = await again.sharing.attach()
    assert attached.phase is Phase.SERVING
    assert [event.text for event in attached.events] == [event.text for event in state.events]
    assert attached.serving_since == state.serving_since
    with pytest.raises(TorbizError, match="already sharing"):
        await again.sharing.start(again.sharing.default_request())

    report = await again.sharing.stop()
    assert report is not None
    assert report.code == 0
    # The one who only watched is told, and does not call it a failure.
    stopped = await until(sharing, Phase.STOPPED)
    assert stopped.failure == ""
    assert "stopped from elsewhere" in stopped.events[-1].text
    # One that another program starts later is found, too.
    await again.sharing.start(again.sharing.default_request())
    assert (await sharing.attach()).phase is Phase.STARTING
    assert (await until(sharing, Phase.SERVING)).blocks == (0, 8)
    assert await sharing.stop() is not None
    await until(again.sharing, Phase.STOPPED)
    await again.close()
    assert await sharing.stop() is None


async def test_a_server_that_dies_is_told_within_two_seconds(
    demo_home: Path, sharing: SharingService
) -> None:
    async def told() -> float:
        await sharing.start(sharing.default_request())
        await sharing.wait_serving(180)
        pid = sharing.state.pid
        assert pid is not None
        os.kill(psutil.Process(pid).children()[0].pid, signal.SIGKILL)
        begun = time.monotonic()
        await until(sharing, Phase.FAILED)
        return time.monotonic() - begun

    await require_prompt_async(told, 2.0)
    state = sharing.state
    assert "ended while serving" in state.failure
    assert "SIGKILL" in state.failure
    assert state.exit_report is not None
    assert state.exit_report.last_lines
    assert state.remedy
    # Who opens the app later is told the same.
    later = services_of(demo_home)
    assert (await later.sharing.attach()).failure == state.failure
    await later.close()
    # And it can simply be started again.
    await sharing.start(sharing.default_request())
    assert (await sharing.wait_serving(180)).phase is Phase.SERVING


async def test_a_server_that_dies_comes_back_with_nobody_there(demo_home: Path) -> None:
    services = services_of(demo_home, **{"share.restart_on_crash": True})
    await services.sharing.start(services.sharing.default_request())
    served = await services.sharing.wait_serving(180)
    await services.close()
    assert served.pid is not None
    os.kill(psutil.Process(served.pid).children()[0].pid, signal.SIGKILL)
    # Who opens the app later sees that it waits, then that it serves again at the same address.
    later = services_of(demo_home)
    await later.sharing.attach()
    state = await until(later.sharing, Phase.STARTING)
    assert state.stage_text.startswith("Crashed; starting again at ")
    again = await until(later.sharing, Phase.SERVING)
    assert again.addresses == served.addresses
    assert again.pid == served.pid
    told = [event.text for event in again.events]
    assert "The server crashed (SIGKILL): it is started again in 5 s" in told
    assert "The server was started again" in told
    report = await later.sharing.stop()
    assert report is not None
    assert (report.code, report.asked) == (0, True)
    await later.close()


async def test_a_dead_initial_peer_is_named(demo_home: Path) -> None:
    peer = "/ip4/127.0.0.1/tcp/9/p2p/QmSgETaTsnQ7r4VoYdTbKjLJdrpzdbjPCaGyGn87sUbTLc"
    services = services_of(demo_home, **{"swarm.initial_peers": (peer,)})
    await services.sharing.start(services.sharing.default_request())
    with pytest.raises(TorbizError, match="None of the initial peers answers") as caught:
        await services.sharing.wait_serving(180)
    assert caught.value.details
    assert "no server runs there any more" in caught.value.why
    assert services.sharing.state.problem is not None
    assert services.sharing.state.problem.action is Action.NEW_SWARM
    await services.sharing.stop()
    await services.close()


async def test_what_cannot_be_served_is_refused_before_anything_starts(
    demo_home: Path, sharing: SharingService, tmp_path: Path
) -> None:
    from dataclasses import replace

    request = sharing.default_request()
    gpt = tmp_path / "gpt"
    gpt.mkdir()
    (gpt / "config.json").write_text('{"model_type": "gpt2", "n_layer": 12}')
    for model, reason in (
        ("no-such-model", "neither a folder nor"),
        (str(tmp_path / "nowhere"), "does not exist"),
        (str(gpt), "'gpt2'"),
        ("", "Which model"),
    ):
        with pytest.raises(UsageError) as caught:
            await sharing.start(replace(request, model=model))
        assert reason in str(caught.value)
    for blocks in ("0:99", "5:5", "12", "some", "-1"):
        with pytest.raises(UsageError, match=blocks):
            await sharing.start(replace(request, blocks=blocks))
    assert sharing.state.phase is Phase.STOPPED
    assert not Paths(demo_home).logs.joinpath("petals_seeder.log").exists()
