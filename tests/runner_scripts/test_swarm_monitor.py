"""The swarm's monitor: what it says of servers that come, stop, and die."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.pace import Stopwatch
from tests.ports import free_port

from .conftest import TinyModel
from .runner_process import (
    START_TIMEOUT_S,
    Event,
    RunnerProcess,
    ServerProcess,
    gone,
    run_script,
)

MONITOR = "run_swarm_monitor.py"
NOBODY = "/ip4/127.0.0.1/tcp/{}/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--period", "0"], ["--period", "'0'", "from 0.5"]),
        (["--num-blocks", "0"], ["--num-blocks", "'0'", "from 1"]),
        (["--initial-peer", "/ip4/1.2.3.4/tcp/1"], ["--initial-peer", "identity"]),
        (["--dht-prefix", "a.b"], ["--dht-prefix", "'a.b'", "without dots"]),
    ],
)
def test_refuses_bad_usage_in_one_sentence(arguments: list[str], words: list[str]) -> None:
    result = run_script(sys.executable, MONITOR, "--model-name", "owner/name", *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


def test_a_python_without_hivemind_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 2}')
    monitor = RunnerProcess(sys.executable, MONITOR, "--model-name", str(tmp_path))
    try:
        error = monitor.until(lambda event: event["type"] == "error")[-1]
        assert error["fatal"]
        assert "hivemind is not installed" in error["message"]
        assert monitor.wait() == 1
    finally:
        monitor.destroy()


def start_monitor(
    python: Path, model: TinyModel, address: str, *arguments: str, period: str = "1"
) -> RunnerProcess:
    options = ("--model-name", str(model.folder), "--initial-peer", address, "--period", period)
    return RunnerProcess(python, MONITOR, *options, *arguments)


def until_swarm(
    monitor: RunnerProcess, timeout_s: float = START_TIMEOUT_S, **wanted: object
) -> Event:
    """The first look that says what is wanted of the swarm."""
    return monitor.until(
        lambda event: (
            event["type"] == "swarm" and all(event[name] == value for name, value in wanted.items())
        ),
        timeout_s,
    )[-1]


@pytest.fixture
def second(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> Iterator[ServerProcess]:
    """A server of blocks 2 to 4 in the swarm of the one that all tests share."""
    process = ServerProcess(
        petals_python,
        tiny_model.folder,
        *("--initial-peer", server.address, "--blocks", "2:5"),
        *("--public-name", "the second"),
    )
    try:
        yield process.wait_serving()
    finally:
        process.destroy()


@pytest.mark.swarm
def test_says_who_serves_the_blocks_and_how(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess
) -> None:
    monitor = start_monitor(petals_python, tiny_model, server.address)
    try:
        swarm = until_swarm(monitor, missing=[])
        assert (swarm["prefix"], swarm["num_blocks"], swarm["alone"]) == ("tiny-hf", 8, False)
        (found,) = swarm["servers"]
        assert server.address.endswith(found["peer_id"])
        assert (found["state"], found["start"], found["end"]) == ("online", 0, 8)
        assert found["reachable"] is True
        assert found["throughput"] == 1.0
        assert found["version"].startswith("2.")
        assert found["torch_dtype"] == "float32"
        assert found["using_relay"] is False
        assert found["relayed"] is False
        # Conversations of other tests may hold all of it.
        assert found["cache_tokens_left"] >= 0
        stages = [event["stage"] for event in monitor.events if event["type"] == "status"]
        assert stages == ["importing", "connecting", "looking"]
        monitor.close_stdin()
        family = monitor.family()
        assert monitor.wait() == 0
        assert not gone(family)
    finally:
        monitor.destroy()


@pytest.mark.swarm
def test_it_is_light(petals_python: Path, tiny_model: TinyModel, server: ServerProcess) -> None:
    monitor = start_monitor(petals_python, tiny_model, server.address)
    try:
        until_swarm(monitor, missing=[])
        python = psutil.Process(monitor.process.pid)
        mapped = {Path(entry.path).name for entry in python.memory_maps()}
        assert not [name for name in mapped if name.startswith("libtorch")]
        assert python.memory_info().rss < 120_000_000
        # Between two looks it has nothing to do.
        used = python.cpu_times()
        until_swarm(monitor)
        until_swarm(monitor)
        spent = python.cpu_times()
        assert spent.user + spent.system - used.user - used.system < 0.5
    finally:
        monitor.destroy()


@pytest.mark.swarm
def test_a_server_that_joins_and_stops_is_seen_at_the_next_look(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess, second: ServerProcess
) -> None:
    monitor = start_monitor(petals_python, tiny_model, server.address)
    try:
        swarm = monitor.until(
            lambda event: (
                event["type"] == "swarm"
                and any((one["state"], one["start"]) == ("online", 2) for one in event["servers"])
            )
        )[-1]
        added = next(
            one for one in swarm["servers"] if (one["state"], one["start"]) == ("online", 2)
        )
        assert added["end"] == 5
        assert added["public_name"] == "the second"
        second.process.send_signal(signal.SIGTERM)
        second.wait_log("are offline")
        since_said = Stopwatch()
        monitor.until(
            lambda event: (
                event["type"] == "swarm"
                and all(
                    one["state"] == "offline"
                    for one in event["servers"]
                    if one["peer_id"] == added["peer_id"]
                )
            )
        )
        assert since_said.seconds < 3.0
    finally:
        monitor.destroy()


@pytest.mark.swarm
def test_a_killed_server_is_told_of_long_before_its_announcement_ends(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess, second: ServerProcess
) -> None:
    monitor = start_monitor(petals_python, tiny_model, server.address)
    try:
        monitor.until(
            lambda event: (
                event["type"] == "swarm"
                and [one["reachable"] for one in event["servers"] if one["state"] != "offline"]
                == [True, True]
            )
        )
        os.killpg(second.process.pid, signal.SIGKILL)
        swarm = monitor.until(
            lambda event: (
                event["type"] == "swarm"
                and any(one["reachable"] is False for one in event["servers"])
            ),
            10.0,
        )[-1]
        (dead,) = [one for one in swarm["servers"] if one["reachable"] is False]
        assert (dead["state"], dead["start"], dead["end"]) == ("online", 2, 5)
        assert swarm["missing"] == []
    finally:
        monitor.destroy()


@pytest.mark.swarm
def test_the_last_server_goes_and_comes_back(
    petals_python: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder, identity = tiny_model.folder, str(tmp_path / "server.identity")
    first = ServerProcess(petals_python, folder, "--new-swarm", "--identity", identity)
    monitor, again = None, None
    try:
        monitor = start_monitor(petals_python, tiny_model, first.wait_serving().address)
        until_swarm(monitor, missing=[])
        os.killpg(first.process.pid, signal.SIGKILL)
        swarm = until_swarm(monitor, 15.0, alone=True)
        assert swarm["missing"] == [[0, 8]]
        assert [one["reachable"] for one in swarm["servers"]] == [False]
        place = f"/ip4/127.0.0.1/tcp/{first.port}"
        again = ServerProcess(
            petals_python, folder, "--new-swarm", "--identity", identity, "--host-maddr", place
        )
        until_swarm(monitor, missing=[], alone=False)
    finally:
        for process in (first, monitor, again):
            if process is not None:
                process.destroy()


@pytest.mark.swarm
def test_one_look_of_a_model_that_nobody_serves(petals_python: Path, server: ServerProcess) -> None:
    options = ("--model-name", "owner/name", "--initial-peer", server.address, "--once")
    unknown = run_script(petals_python, MONITOR, *options)
    assert '"code":"model_unknown"' in unknown.stdout
    known = run_script(petals_python, MONITOR, *options, "--num-blocks", "4", "--dht-prefix", "x")
    assert known.returncode == 0
    assert '"missing":[[0,4]]' in known.stdout


@pytest.mark.swarm
def test_says_that_the_peers_do_not_answer(petals_python: Path, tiny_model: TinyModel) -> None:
    monitor = start_monitor(petals_python, tiny_model, NOBODY.format(free_port()))
    try:
        error = monitor.until(lambda event: event["type"] == "error")[-1]
        assert (error["code"], error["fatal"]) == ("connection_failed", True)
        assert "The swarm cannot be reached: no answer from /ip4/127.0.0.1/" in error["message"]
        assert monitor.wait() == 1
    finally:
        monitor.destroy()


@pytest.mark.swarm
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(
    petals_python: Path, tiny_model: TinyModel, server: ServerProcess, signum: signal.Signals
) -> None:
    monitor = start_monitor(petals_python, tiny_model, server.address)
    try:
        until_swarm(monitor)
        family = monitor.family()
        monitor.process.send_signal(signum)
        assert monitor.wait(3) == 0
        assert not gone(family)
    finally:
        monitor.destroy()
