"""`torbiz-tui swarm` on a real swarm: what is shared here is seen, and seen to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import free_port

pytestmark = pytest.mark.swarm

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
SLOW_S = 180.0


def arguments(home: Path, *more: str) -> list[str]:
    return [PROGRAM, "--demo", "--home", str(home), *more]


def command(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(home, *more), capture_output=True, text=True, timeout=SLOW_S, check=False
    )


def monitors(home: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("run_swarm_monitor" in part for part in process.info["cmdline"] or [])
        and any(str(home) in part for part in process.info["cmdline"] or [])
    ]


def test_the_server_of_this_machine_is_marked_until_it_stops(demo_home: Path) -> None:
    assert command(demo_home, "swarm").returncode == 5
    shared = command(demo_home, "share", "--wait", "--port", str(free_port()))
    try:
        assert shared.returncode == 0, shared.stderr
        drawn = command(demo_home, "swarm")
        assert drawn.returncode == 0, drawn.stderr
        assert "Whole: all 8 blocks are served. 1 online" in drawn.stdout
        assert "yours     @@@@" in drawn.stdout
        told = json.loads(command(demo_home, "swarm", "--json").stdout)
        assert told["complete"]
        assert [one["own"] for one in told["servers"]] == [True]

        watching = subprocess.Popen(
            arguments(demo_home, "swarm", "--json", "--watch"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["complete"]
            assert command(demo_home, "stop").returncode == 0
            stopped, late = time.time(), 0
            while (looked := json.loads(watching.stdout.readline()))["complete"]:
                late += looked["looked_at"] > stopped
            # The next look shows it; one may have begun before.
            assert late <= 1
            os.kill(watching.pid, signal.SIGINT)
            assert watching.wait(30) == 130
        finally:
            watching.kill()
            watching.communicate()
        assert psutil.wait_procs(monitors(demo_home), timeout=20)[1] == []
    finally:
        command(demo_home, "stop")
