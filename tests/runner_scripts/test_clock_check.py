"""Whose clock is wrong, and when that is said."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from torbiz_tui.troubleshooting.recognising import recognise_line
from torbiz_tui.troubleshooting.symptom import Place

from .runner_process import SCRIPTS, RunnerProcess
from .wrong_clocks import shifted_peers


@pytest.fixture(scope="module")
def clock_check() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module("clock_check")
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.mark.parametrize(
    ("ahead", "words", "symptom"),
    [
        ({}, "", None),
        ({"a": 2.9, "b": -2.0}, "", None),
        ({"a": 42.0}, "this machine and of the peer …a differ by 42 s", "clocks_differ"),
        ({"a": 42.0, "b": 41.0}, "this machine is 42 s behind those of 2 peers", "clock_drift"),
        ({"a": -600.0, "b": -601.0, "c": 0.1, "d": -599.0}, "is 10 min ahead of", "clock_drift"),
        ({"a": 0.0, "b": -7200.0}, "the peer …b is 2 h behind this machine's", "peer_clock_wrong"),
        ({"a": 9.0, "b": -9.0}, "this machine and of the peer …a differ by 9 s", "clocks_differ"),
    ],
)
def test_the_majority_is_right(
    clock_check: ModuleType, ahead: dict[str, float], words: str, symptom: str | None
) -> None:
    text = clock_check.judge(ahead).text
    assert words in text
    line = f"Nov 27 10:00:00.123 [WARN] [clock_check.take:9] {text}"
    known = recognise_line(line, Place.SERVER, in_container=False)
    assert (known.symptom.id if known else None) == symptom


def test_it_is_said_once_and_when_it_is_over(
    clock_check: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_check.logger, "propagate", True)
    watch = clock_check.ClockWatch()
    with caplog.at_level(logging.INFO):
        for ahead in (5.0, 6.0, 7.0, 0.1, 0.0):
            watch.take({"peer": ahead})
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in said] == [
        "The clocks of this machine and of the peer …peer differ by 5 s",
        "The clock of this machine agrees with its peers again",
    ]
    assert watch.asked_lately == {"peer"}


def test_what_hivemind_says_of_two_clocks_is_said_in_plain_words(clock_check: ModuleType) -> None:
    refusal = "local time must be within 3 seconds  of others(local: 1000.5, peer: 1045.7)"
    assert "differ by 45 s" in clock_check.explain_refusal(refusal)
    assert clock_check.explain_refusal("the peers do not answer") is None


@pytest.mark.swarm
def test_peers_with_another_time_are_noticed_and_named(petals_python: Path) -> None:
    node = RunnerProcess(
        petals_python, "run_bootstrap.py", "--host-maddr", "/ip4/127.0.0.1/tcp/0", "--period", "0.2"
    )
    looking: list[RunnerProcess] = []
    try:
        (address,) = node.until(lambda event: event["type"] == "ready")[-1]["addresses"]
        with shifted_peers(petals_python, 42.0, 2, "127.0.0.1", address) as peers:
            reach = RunnerProcess(petals_python, "run_reach.py", "--peer", address)
            looking.append(reach)
            model = ("--model-name", "owner/name", "--initial-peer", peers[0])
            refused = RunnerProcess(petals_python, "run_swarm_monitor.py", *model)
            looking.append(refused)
            words = "The clock of this machine is 42 s behind those of 2 peers."
            node.wait_log(words)
            found = reach.until(lambda event: event["type"] == "reach")[-1]
            assert found["clock"].startswith(words)
            # Who joins through them is told in plain words what hivemind says in its own.
            error = refused.until(lambda event: event["type"] == "error")[-1]
            assert (error["code"], error["fatal"]) == ("clocks_differ", True)
            assert "this machine and of a peer differ by 42 s" in error["message"]
    finally:
        for process in (node, *looking):
            process.destroy()
