"""A private swarm of three hosts with addresses of their own, asked from a fourth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.network import Host, network
from tests.pace import Stopwatch
from tests.runner_scripts.wrong_clocks import shifted_peers
from torbiz_tui.errors import ExitCode
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.state import SharingState

pytestmark = [pytest.mark.swarm, pytest.mark.timeout(600)]

PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))
CONCEPTS = (
    Path(__file__).parents[2] / "runner_scripts" / "demo_training" / "corpus" / "05_concepts.yaml"
)
PORT = "31337"
QUESTION = "What is a swarm?"
SPANS = {"first": (0, 3), "middle": (3, 6), "last": (6, 8)}
SLOW_S = 180.0
# How long it may take to notice that a cable was pulled.
NOTICED_S = 30.0
# And that it is back: an old connection is tried again with growing pauses, as TCP does.
BACK_S = 45.0
# How long somebody who asks waits for a server that does not answer, and for another one.
ANSWERED_S = 45.0


@dataclass
class Machine:
    """A host with the program, and a home folder of its own."""

    host: Host
    home: Path

    def command(self, *arguments: str) -> list[str]:
        program = (PROGRAM, "--environment", "native", "--home", str(self.home))
        return self.host.inside(*program, *arguments)

    def run(self, *arguments: str, timeout_s: float = SLOW_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}"
        return result.stdout


@dataclass
class Swarm:
    """The machines that serve, the one that asks, and the code that it was invited with."""

    servers: dict[str, Machine]
    client: Machine
    code: str
    peer: str

    def ask(self) -> tuple[int, list[dict[str, Any]]]:
        """Ask; the exit code and what the program said, line by line."""
        asked = self.client.run("ask", "--json", "--temperature", "0", *self.where, QUESTION)
        return asked.returncode, [json.loads(line) for line in asked.stdout.splitlines()]

    @property
    def where(self) -> tuple[str, ...]:
        """The options that name the model and the swarm."""
        return ("--model", "torbiz-demo", "--initial-peer", self.code)


class Map:
    """The swarm's map as the program on the client prints it, again and again."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        self._look: dict[str, Any] = {}
        self._new = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._new:
                self._look = json.loads(line)
                self._new.notify_all()

    def until(self, within_s: float, **wanted: object) -> dict[str, Any]:
        """Wait for a look that says this of the swarm."""

        def says() -> bool:
            return bool(self._look) and all(self._look[key] == wanted[key] for key in wanted)

        with self._new:
            assert self._new.wait_for(says, within_s), f"{wanted} is not in {self._look}"
            return self._look

    def close(self) -> None:
        """Close it."""
        self._process.kill()
        self._process.wait()
        self._reader.join(5)


@pytest.fixture(scope="module")
def client_map(swarm: Swarm) -> Iterator[Map]:
    shown = Map(swarm.client.command("swarm", "--json", "--watch", *swarm.where))
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Path:
    """A venv with the stack: that of TORBIZ_TEST_PETALS_PYTHON, or what Setup installs."""
    given = os.environ.get("TORBIZ_TEST_PETALS_PYTHON")
    return Path(given).parents[1] if given else Paths(request.getfixturevalue("stack_home")).env


@pytest.fixture(scope="module")
def swarm(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    def machine(host: Host, name: str) -> Machine:
        paths = Paths(tmp_path_factory.mktemp(name) / "home")
        paths.ensure()
        paths.env.symlink_to(stack, target_is_directory=True)
        return Machine(host, paths.home)

    with network(*SPANS, "client") as hosts:
        machines = {name: machine(host, name) for name, host in hosts.items()}
        client = machines.pop("client")

        def share(name: str, *how: str) -> None:
            blocks = ":".join(map(str, SPANS[name]))
            common = (
                "--blocks",
                blocks,
                "--throughput",
                "1",
                "--port",
                PORT,
                "--public-name",
                name,
            )
            machines[name].done("share", "torbiz-demo", *common, "--wait", *how)

        share("first", "--new-swarm", "--swarm", "lan")
        invited = json.loads(machines["first"].done("invite", "--json"))
        code, peer = invited["code"], invited["initial_peers"][0]
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(lambda name: share(name, "--join", code), ("middle", "last")))
        yield Swarm(machines, client, code, peer)


def known_answer() -> str:
    """What the model says by itself: it was trained on this question until it did word for word."""
    entries = yaml.safe_load(CONCEPTS.read_text("utf-8"))
    (answer,) = (e["answer"] for e in entries if QUESTION in e["trained"].splitlines())
    return str(answer)


def test_three_hosts_answer_a_fourth_and_are_on_its_map(swarm: Swarm, client_map: Map) -> None:
    code, said = swarm.ask()
    assert code == 0
    assert said[-1]["answer"] == known_answer()
    hops = said[-1]["route"]["hops"]
    spans = [(*span, name) for name, span in SPANS.items()]
    assert [(hop["first"], hop["end"], hop["name"]) for hop in hops] == spans
    servers = client_map.until(NOTICED_S, complete=True)["servers"]
    shown = [(one["first"], one["end"], one["public_name"]) for one in servers]
    assert shown == spans
    assert {one["state"] for one in servers} == {"online"}


def test_a_host_is_unplugged_and_plugged_in_again(swarm: Swarm, client_map: Map) -> None:
    client_map.until(NOTICED_S, complete=True)
    middle = swarm.servers["middle"].host
    middle.unplug()
    with ThreadPoolExecutor() as at_once:
        asking = at_once.submit(swarm.ask)
        client_map.until(NOTICED_S, missing=[[3, 6]])
        code, said = asking.result(ANSWERED_S)
    assert code == ExitCode.NOT_SERVED
    assert {"type": "recovering", "first": 3, "end": 6} in said
    assert said[-1]["missing"] == [[3, 6]]
    assert "blocks 3–5 of torbiz-demo" in said[-1]["message"]
    middle.plug_in()
    back = time.monotonic()
    client_map.until(BACK_S, complete=True)
    # The runner of the chat has connections of its own, which may be back a little later.
    while (answer := swarm.ask())[0] == ExitCode.NOT_SERVED:
        assert time.monotonic() - back < BACK_S
    code, said = answer
    assert (code, said[-1]["answer"]) == (0, known_answer())


def test_a_peer_whose_clock_is_wrong_is_told_of(swarm: Swarm, stack: Path) -> None:
    first, client = swarm.servers["first"], swarm.client.host
    log = Paths(first.home).logs / "petals_seeder.log"
    how = (42.0, 1, client.address, swarm.peer, tuple(client.inside()))
    with shifted_peers(stack / "bin" / "python", *how) as (address,):
        wanted = (
            f"The clock of the peer …{address[-6:]} is 42 s ahead of this machine's and others'."
        )
        deadline = time.monotonic() + NOTICED_S
        while wanted not in log.read_text("utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    state = SharingState()
    for line in log.read_text("utf-8").splitlines():
        state = take_line(state, line)
    (problem,) = (event.problem for event in state.events if event.problem is not None)
    assert problem.title == "The clock of another peer is wrong."
    assert "NTP" in problem.remedy


def test_who_stops_is_off_the_map_of_another_within_two_seconds(
    swarm: Swarm, client_map: Map
) -> None:
    client_map.until(NOTICED_S, complete=True)
    swarm.servers["last"].done("stop")
    since_stopped = Stopwatch()
    client_map.until(NOTICED_S, missing=[[6, 8]])
    assert since_stopped.seconds < 2.0
