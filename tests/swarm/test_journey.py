"""A person's way through the app, against a real swarm: set up, share, ask, read the logs, leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.app.seeing import screen_text, until
from tests.conftest import demo_config, free_port
from tests.pace import Stopwatch
from tests.terminal import Terminal
from torbiz_tui.app import TorbizApp
from torbiz_tui.assembly import build_services
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.state import Phase

pytestmark = [pytest.mark.swarm, pytest.mark.timeout(600)]

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
QUESTION = "What is a swarm?"
F1, F2, F3, F4 = "\x1bOP", "\x1bOQ", "\x1bOR", "\x1bOS"
CTRL_Q, CTRL_S, ENTER, ESCAPE = "\x11", "\x13", "\r", "\x1b"
SLOW_S = 180.0
NOT_WARM = {"TORBIZ_ASK_KEEP_WARM_S": "0"}


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "--demo", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        timeout=SLOW_S,
        stdin=subprocess.DEVNULL,
    )


def processes_of(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(home) in part for part in process.info["cmdline"] or [])
    ]


def left_of(home: Path) -> list[str]:
    """The commands of a home that are still there a while after all was told to end.

    A chat runner waits 10 s for the program that has started it, if that has left at once.
    """
    _gone, alive = psutil.wait_procs(processes_of(home), timeout=120)
    return [" ".join(process.cmdline()) for process in alive]


@pytest.fixture(autouse=True)
def _no_warm_runner(monkeypatch: pytest.MonkeyPatch, _no_settings_from_outside: None) -> None:
    for name, value in NOT_WARM.items():
        monkeypatch.setenv(name, value)


async def test_the_four_screens_in_process(
    demo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.app.seeing.DEADLINE_S", SLOW_S)
    services = build_services(demo_config(demo_home), Paths(demo_home))
    app = TorbizApp(services, "setup")
    try:
        async with app.run_test(size=(100, 30)) as pilot:

            async def sees(*texts: str) -> None:
                await until(
                    pilot, lambda: all(text in screen_text(app) for text in texts), f"seen: {texts}"
                )

            await sees("This machine is ready")
            await pilot.press("f2")
            await sees("Start sharing")
            await pilot.press("ctrl+s")
            await sees("Sharing torbiz-demo", "8 of 8", "Stop sharing", "confirmed in the DHT")
            await pilot.press("f3")
            await sees("demo model", "knows only")
            await pilot.press(*"What is a swarm?", "enter")
            await sees("tokens/s", "You")
            said = screen_text(app)
            assert "swarm" in said.partition(QUESTION)[2]
            await pilot.press("f4")
            await sees("petals_seeder.log", "rpc_inference")
            await pilot.press("f2")
            await sees("Sharing torbiz-demo")
            await pilot.press("x")
            await sees("Start sharing")
        assert services.sharing.state.phase is Phase.STOPPED
    finally:
        await services.sharing.stop()
        await services.close()
    assert left_of(Paths(demo_home).run) == []


def test_the_whole_way_in_a_terminal_from_an_empty_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    port = str(free_port())
    terminal = Terminal(
        [PROGRAM, "--demo", "--home", str(home)],
        columns=80,
        rows=24,
        environ={"TORBIZ_SHARE_PORT": port, **NOT_WARM},
    )
    try:
        terminal.wait_for("Set up this machine")
        terminal.wait_for("Petals and its stack +missing")
        terminal.send(ENTER)
        terminal.wait_for("This machine is ready", SLOW_S)
        terminal.send(F2)
        terminal.wait_for("Start sharing")
        terminal.send(CTRL_S)
        terminal.wait_for("Sharing torbiz-demo", SLOW_S)
        terminal.send(F3)
        terminal.wait_for("demo model")
        terminal.send(f"{QUESTION}{ENTER}")
        terminal.wait_for(r"tokens/s", SLOW_S)
        assert psutil.Process(terminal.pid).memory_info().rss < 120_000_000
        terminal.send(F4)
        terminal.wait_for("rpc_inference")
        terminal.send(CTRL_Q)
        assert terminal.wait_end() == 0
        assert "goes on sharing torbiz-demo" in terminal.text

        # The server has gone on; from the shell it answers and stops.
        status = command(home, "status", "--json")
        assert status.returncode == 0, status.stderr
        assert json.loads(status.stdout)["blocks"] == [0, 8]
        asked = command(home, "ask", QUESTION)
        assert asked.returncode == 0, asked.stderr
        assert "swarm" in asked.stdout.lower()

        # The app opened again, on Ask since all is ready, finds the server.
        again = Terminal(
            [PROGRAM, "--demo", "--home", str(home)], columns=100, rows=30, environ=NOT_WARM
        )
        again.wait_for("serving blocks 0:8")
        again.wait_for("Ask a question")
        again.send(F2)
        again.wait_for("Sharing torbiz-demo")

        # The server dies under it: said at once, with the reason.
        server = psutil.Process(json.loads(status.stdout)["pid"])
        os.kill(server.children()[0].pid, signal.SIGKILL)
        since_killed = Stopwatch()
        again.wait_for("SIGKILL", SLOW_S)
        assert since_killed.seconds < 3.0
        again.send(CTRL_Q)
        assert again.wait_end() == 0
    finally:
        terminal.close()
        command(home, "stop")
    assert left_of(Paths(home).run) == []
    assert command(home, "status").returncode == 4


def test_nothing_served_is_exit_code_5(demo_home: Path) -> None:
    asked = command(demo_home, "ask", QUESTION)
    assert asked.returncode == 5
    assert "Nobody serves torbiz-demo" in asked.stderr
    assert asked.stdout == ""
