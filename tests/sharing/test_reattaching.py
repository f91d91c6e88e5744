"""The server goes on whatever becomes of the app, and the next app finds all of it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import demo_config, free_port
from tests.terminal import Terminal
from torbiz_tui.assembly import Services, build_services
from torbiz_tui.environments.native_record import NativeRecord, record_to_json
from torbiz_tui.environments.processes import start_mark
from torbiz_tui.logs.run_start import begin_run
from torbiz_tui.paths import Paths, write_json
from torbiz_tui.sharing.state import Phase, SharingState

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
CTRL_S, F3 = "\x13", "\x1bOR"
SLOW_S = 180.0


def services_of(home: Path) -> Services:
    return build_services(demo_config(home), Paths(home))


async def attached(home: Path) -> SharingState:
    """What an app that is opened now knows of the server."""
    services = services_of(home)
    state = await services.sharing.attach()
    await services.close()
    return state


def status(home: Path) -> tuple[int, dict[str, Any]]:
    command = [PROGRAM, "--demo", "--home", str(home), "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SLOW_S)
    return done.returncode, json.loads(done.stdout)


def someone_else() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def opened(home: Path) -> Terminal:
    return Terminal(
        [PROGRAM, "--demo", "--home", str(home), "--screen", "share"],
        columns=100,
        rows=30,
        environ={"TORBIZ_SHARE_PORT": str(free_port()), "TORBIZ_ASK_KEEP_WARM_S": "0"},
    )


def chat_runners(home: Path) -> list[psutil.Process]:
    """Those that listen in this home."""
    commands = {
        process: " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline"])
    }
    return [
        process
        for process, command in commands.items()
        if "run_petals_inference" in command and str(home) in command
    ]


@pytest.mark.swarm
async def test_the_app_is_killed_and_loses_its_terminal_and_the_server_goes_on(
    demo_home: Path,
) -> None:
    app = opened(demo_home)
    again = None
    try:
        app.wait_for("Start sharing")
        app.send(CTRL_S)
        app.wait_for("Sharing torbiz-demo", SLOW_S)
        os.kill(app.pid, signal.SIGKILL)
        app.wait_end()
        killed = await attached(demo_home)
        assert killed.phase is Phase.SERVING
        assert killed.blocks == (0, 8)
        told = [event.text for event in killed.events]
        story = ["Connecting to a private swarm", "Serving blocks 0:8, confirmed in the DHT"]
        assert [text for text in told if text in story] == story

        again = opened(demo_home)
        again.wait_for("Sharing torbiz-demo")
        again.wait_for("Serving blocks 0:8, confirmed in the DHT")
        again.send(F3)
        again.wait_for("Ask a question")
        again.send("What is a swarm?\r")
        again.wait_for("tokens/s", SLOW_S)
        runners = chat_runners(demo_home)
        assert runners
        again.hang_up()
        # A chat runner has nobody left and ends; the server goes on.
        assert psutil.wait_procs(runners, timeout=20)[1] == []
        state = await attached(demo_home)
        assert state.phase is Phase.SERVING
        assert (state.pid, state.serving_since) == (killed.pid, killed.serving_since)
        # All that was told before is there, and it began with the same.
        assert [event.text for event in state.events][: len(told)] == told
        assert not [event for event in state.events if event.warning]
    finally:
        for terminal in (app, again):
            if terminal is not None:
                terminal.close()
        services = services_of(demo_home)
        report = await services.sharing.stop()
        await services.close()
    assert report is not None
    assert (report.code, report.asked) == (0, True)


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("another-boot:77", "The machine was restarted since, and the server is gone"),
        ("{boot}:1", "It is gone; nobody saw how it ended."),
    ],
)
async def test_after_a_reboot_the_number_of_the_server_is_somebody_elses(
    tmp_path: Path, mark: str, words: str
) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    log = paths.logs / "petals_seeder.log"
    innocent = someone_else()
    try:
        boot = (start_mark(innocent.pid) or "").partition(":")[0]
        with log.open("ab") as file:
            start = begin_run(file, "The server of torbiz-demo starts")
            file.write(b"Nov 27 10:00:00.123 [INFO] Confirmed in the DHT: blocks 0:8 are online\n")
        services = services_of(tmp_path)
        spec = await services.sharing.plan(services.sharing.default_request())
        stale = NativeRecord.of(
            innocent.pid,
            mark.format(boot=boot),
            time.time(),
            spec,
            (log, start.offset),
            start.heading,
        )
        record = paths.run / "server.json"
        write_json(record, record_to_json(stale))

        state = await services.sharing.attach()
        assert state.phase is Phase.FAILED
        assert words in state.failure
        assert state.remedy.startswith("Start it again")
        # What it served when it was there is still told.
        assert "Serving blocks 0:8, confirmed in the DHT" in [one.text for one in state.events]
        code, said = status(tmp_path)
        assert code == 4
        assert words in said["failure"]

        assert await services.sharing.stop() is None
        assert psutil.pid_exists(innocent.pid)
        assert innocent.poll() is None
        assert not record.exists()
        await services.close()
        assert (await attached(tmp_path)).phase is Phase.STOPPED
    finally:
        innocent.kill()
        innocent.communicate()
