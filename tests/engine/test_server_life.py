"""A server in a container that crashes, and one that may not serve now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine.serving import SERVING_S, until
from torbiz_tui.assembly import Services
from torbiz_tui.sharing.state import Phase, Stage

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

INDIA_S = 5.5 * 3600
# Kills the server itself: what the supervisor has started, which the init process has.
KILL_SERVER = (
    'supervisor=$(tr -d " " < /proc/1/task/1/children);'
    ' kill -KILL $(cut -d" " -f1 "/proc/$supervisor/task/$supervisor/children")'
)


async def test_a_server_that_crashes_is_started_again(
    make: Callable[..., Services], client: docker.DockerClient, name: str, demo_home: Path
) -> None:
    services = make(**{"share.restart_on_crash": True})
    sharing = services.sharing
    await sharing.start(sharing.default_request())
    before = await sharing.wait_serving(SERVING_S)
    box = client.containers.get(name)
    begun = box.attrs["State"]["StartedAt"]
    killed = await asyncio.to_thread(box.exec_run, ["sh", "-c", KILL_SERVER])
    assert killed.exit_code == 0, killed.output
    state = await until(sharing, lambda s: s.restart_at is not None)
    told = "The server crashed (SIGKILL): it is started again in 5 s"
    assert state.events[-1].text == told
    assert told in (demo_home / "logs" / "petals_seeder.log").read_text("utf-8")
    state = await until(sharing, lambda s: s.stage is Stage.SERVING)
    assert state.addresses == before.addresses
    box.reload()
    assert box.attrs["State"]["StartedAt"] == begun
    report = await sharing.stop()
    assert report is not None
    assert (report.code, report.signal, report.killed, report.asked) == (0, None, False, True)
    assert "The blocks are announced offline" in [event.text for event in sharing.state.events]


async def test_outside_of_its_hours_it_waits_and_can_be_stopped(
    make: Callable[..., Services],
    client: docker.DockerClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The hours are the person's: of a person in India, whose afternoon is not that of UTC.
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    now = time.time()
    first, end = (time.strftime("%H:%M", time.gmtime(now + by)) for by in (-3600, 3600))
    services = make(**{"share.hours": f"{first}-{end}"})
    sharing = services.sharing
    await sharing.start(sharing.default_request())
    state = await until(sharing, lambda s: bool(s.pauses))
    assert state.stage_text == f"Paused: it serves at {first}-{end} only"
    assert state.phase is Phase.STARTING
    box = client.containers.get(name)
    # The times in its log are the person's as well, and it sees what powers the machine.
    logged: Any = box.logs()
    stamp = logged.decode().partition(".")[0]
    assert stamp.endswith(time.strftime(" %H:%M", time.gmtime(now + INDIA_S)) + stamp[-3:])
    seen = box.exec_run(["ls", "/sys/class/power_supply"])
    assert seen.exit_code == 0
    here = sorted(file.name for file in Path("/sys/class/power_supply").iterdir())
    listed: Any = seen.output
    assert sorted(listed.decode().split()) == here
    # Who opens the app now is told the same.
    again = make()
    assert (await again.sharing.attach()).pauses == state.pauses
    report = await again.sharing.stop()
    assert report is not None
    assert (report.code, report.killed, report.asked) == (0, False, True)
    assert client.containers.list(all=True, filters={"name": name}) == []
