"""A private swarm for real: invite, join, leave, find again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import free_port
from torbiz_tui.errors import ExitCode
from torbiz_tui.paths import Paths

pytestmark = [pytest.mark.swarm, pytest.mark.timeout(600)]

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
QUESTION = "What is a swarm?"
# When waiting is given up, which a program that works never comes to, on any machine.
LIMIT_S = 180.0


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "--environment", "native", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )


def done(home: Path, *arguments: str) -> str:
    result = command(home, *arguments)
    assert result.returncode == 0, f"{arguments}: {result.stderr}"
    return result.stdout


def wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def friend_home(tmp_path: Path, stack_home: Path) -> Path:
    """The home of somebody else, with the stack in it."""
    paths = Paths(tmp_path / "friend")
    paths.ensure()
    paths.env.symlink_to(Paths(stack_home).env, target_is_directory=True)
    return paths.home


def test_a_friend_joins_by_a_code_and_finds_the_swarm_again(
    demo_home: Path, friend_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORBIZ_ASK_KEEP_WARM_S", "0")
    port, other = str(free_port()), str(free_port())
    half = ("--wait", "--throughput", "1")
    try:
        done(demo_home, "--demo", "share", "--swarm", "club", "--port", port, *half)
        first = json.loads(done(demo_home, "invite", "--json"))
        assert first["name"] == "club"
        assert f"/tcp/{port}/p2p/" in first["initial_peers"][0]

        answer = done(friend_home, "ask", "--join", first["code"], QUESTION)
        assert "swarm" in answer.lower()
        (known,) = json.loads(done(friend_home, "swarms", "--json"))["swarms"]
        assert known["name"] == "club"
        assert known["initial_peers"] == first["initial_peers"]

        alone = command(demo_home, "reach")
        assert alone.returncode == ExitCode.FAILED
        assert "No other peer of the swarm is there" in alone.stdout

        # It goes, and is back under its address: what was given to friends still holds.
        done(demo_home, "stop")
        gone = command(friend_home, "ask", "--swarm", "club", QUESTION)
        assert gone.returncode == ExitCode.FAILED
        assert "answers" in gone.stderr
        done(demo_home, "--demo", "share", "--swarm", "club", *half)
        again = json.loads(done(demo_home, "invite", "--json"))
        assert again["code"] == first["code"]
        assert "swarm" in done(friend_home, "ask", "--swarm", "club", QUESTION).lower()

        # A friend who hosts lets the one who began it find the swarm again.
        joined = done(
            friend_home, "--demo", "share", "--join", again["code"], "--port", other, *half
        )
        assert "Serving blocks 0:8" in joined
        (known,) = json.loads(done(friend_home, "swarms", "--json"))["swarms"]
        assert not known["started_here"]

        # Whoever began it starts again while the friend goes on: it stays one swarm.
        log = Paths(demo_home).logs / "petals_seeder.log"
        told = f"/tcp/{other}/p2p/"
        wait_for(lambda: told in log.read_text("utf-8").partition("Peers of the swarm")[2])
        done(demo_home, "stop")
        restarted = command(demo_home, "--demo", "share", "--swarm", "club", *half)
        assert restarted.returncode == 0, restarted.stderr
        assert "begins anew" not in restarted.stderr
        known = json.loads(done(demo_home, "swarms", "--json"))["swarms"][0]
        assert any(told in address for address in known["initial_peers"])
        wait_for(lambda: "1 of 1" in command(demo_home, "reach").stdout)
    finally:
        command(friend_home, "stop")
        command(demo_home, "stop")


@contextmanager
def bootstrap(home: Path, *arguments: str) -> Iterator[str]:
    """A bootstrap node; gives its code, and ends it as Ctrl-C does."""
    process = subprocess.Popen(
        [PROGRAM, "--demo", "--home", str(home), "bootstrap", "--swarm", "hub", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == ExitCode.INTERRUPTED
    finally:
        process.kill()
        process.wait()


def test_a_bootstrap_node_holds_a_swarm_together(
    demo_home: Path, friend_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORBIZ_ASK_KEEP_WARM_S", "0")
    port = str(free_port())
    try:
        with bootstrap(friend_home, "--port", str(free_port())) as code:
            shared = ("--demo", "share", "--join", code, "--port", port, "--wait")
            done(demo_home, *shared)
            answer = done(friend_home, "ask", "--model", "torbiz-demo", "--join", code, QUESTION)
            assert "swarm" in answer.lower()
            # Petals has asked it whether the server can be dialled.
            server_log = (Paths(demo_home).logs / "petals_seeder.log").read_text("utf-8")
            assert "This server is accessible directly" in server_log
            node_log = Paths(friend_home).logs / "bootstrap.log"
            assert "can be dialled: True" in node_log.read_text("utf-8")
            reach = json.loads(done(demo_home, "reach", "--json"))
            assert reach["verdict"] == "reached"
            assert [other["reached"] for other in reach["others"]] == [True]
            server = f"/tcp/{port}/p2p/"
            state = Paths(friend_home).state_file
            wait_for(lambda: server in state.read_text("utf-8"))
            (known,) = json.loads(done(friend_home, "swarms", "--json"))["swarms"]
            assert any(server in address for address in known["initial_peers"])
            node_log.write_text("", "utf-8")
        # It calls those that it knows, before they miss it.
        with bootstrap(friend_home) as again:
            told = "addresses known from before answer"
            wait_for(lambda: told in node_log.read_text("utf-8"))
            assert " 0 of" not in node_log.read_text("utf-8")
        done(demo_home, "stop")
        known = json.loads(done(demo_home, "invite", again, "--json"))
        before = json.loads(done(demo_home, "invite", code, "--json"))
        assert known["initial_peers"][0] == before["initial_peers"][0]
        assert [model["name"] for model in known["models"]] == ["torbiz-demo"]
    finally:
        command(demo_home, "stop")
