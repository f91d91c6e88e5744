"""What each command prints, where, and its exit code."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.fakes import Scene, ScriptedStep, serving
from torbiz_tui.cli import main
from torbiz_tui.download import Download
from torbiz_tui.environments.base import ExitReport, ResourceSample
from torbiz_tui.errors import TorbizError
from torbiz_tui.setup.step import CheckResult
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.served import Served, SwarmSeen
from torbiz_tui.sharing.state import Phase, SharingState, Stage

Capture = pytest.CaptureFixture[str]


def test_setup_brings_what_is_missing_when_agreed(scene: Scene, capsys: Capture) -> None:
    scene.step = ScriptedStep(CheckResult.missing("350 MB to download"))
    assert main(["setup", "--yes"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Ready.\n"
    assert captured.err.splitlines() == [
        "[running] The stack: 350 MB to download",
        "[ready] The stack: there",
    ]


def test_setup_without_anyone_to_agree_brings_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    scene.step = ScriptedStep(CheckResult.missing("350 MB to download"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["setup"]) == 3
    assert "Pass --yes" in capsys.readouterr().err
    assert not scene.step.applied


def test_setup_asks_nothing_when_nothing_is_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["setup", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ready"] is True
    (step,) = answer["steps"]
    assert step.pop("elapsed_s") >= 0
    assert step == {
        "id": "stack",
        "title": "The stack",
        "state": "ready",
        "detail": "there",
        "instruction": "",
    }


def test_doctor_changes_nothing(scene: Scene, home: Path, capsys: Capture) -> None:
    scene.step = ScriptedStep(CheckResult.missing("350 MB to download"))
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "STEP       STATE    FOUND",
        "The stack  missing  350 MB to download",
    ]
    assert "torbiz-tui setup" in captured.err
    assert not scene.step.applied
    assert not home.exists()


@pytest.mark.parametrize("command", [["doctor", "--json"], ["setup", "--yes", "--json"]])
def test_what_only_the_person_can_do_has_a_code(
    scene: Scene, capsys: Capture, command: list[str]
) -> None:
    scene.step = ScriptedStep(CheckResult.blocked("no disk space", "Free some."))
    assert main(command) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["ready"] is False
    assert answer["steps"][0]["instruction"] == "Free some."


def test_share_invites_when_it_serves(scene: Scene, capsys: Capture) -> None:
    scene.becomes = serving()
    assert main(["share", "torbiz-demo", "--new-swarm", "--port", "4000", "--wait"]) == 0
    captured = capsys.readouterr()
    peer = "/ip4/192.0.2.7/tcp/1/p2p/Qm"
    assert captured.out.splitlines() == [
        "Serving blocks 0:8 of torbiz-demo.",
        f"To ask it: torbiz-tui ask --model torbiz-demo --initial-peer {peer}",
        f"To host more of it: torbiz-tui share torbiz-demo --initial-peer {peer}",
    ]
    assert "Connecting to the swarm" in captured.err
    assert scene.sharing is not None
    request = scene.sharing.started
    assert request is not None
    assert (request.model, request.port, request.new_swarm) == ("torbiz-demo", 4000, True)


def test_share_takes_when_to_serve_and_what_to_keep_back(scene: Scene) -> None:
    given = ["--hours", "22:00-07:00", "--mains-only", "--pause-when-busy", "40"]
    more = ["--reserve", "35", "--cache-tokens", "2048", "--no-restart-on-crash"]
    assert main(["share", "m", *given, *more, "--announce-maddr", "/ip4/192.0.2.9/tcp/1"]) == 0
    assert scene.sharing is not None
    request = scene.sharing.started
    assert request is not None
    assert (request.hours, request.mains_only, request.pause_when_busy) == ("22:00-07:00", True, 40)
    assert (request.reserve_percent, request.attn_cache_tokens) == (35, 2048)
    assert not request.restart_on_crash
    assert request.announce_maddrs == ("/ip4/192.0.2.9/tcp/1",)
    assert main(["share", "m", "--hours", "lately"]) == 2


def test_share_returns_when_it_has_started(scene: Scene, capsys: Capture) -> None:
    assert main(["--demo", "share"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "goes on in the background" in captured.err


def test_share_shows_the_command_and_starts_nothing(scene: Scene, capsys: Capture) -> None:
    assert main(["share", "m", "--show-command"]) == 0
    assert capsys.readouterr().out == "docker run torbiz m\n"
    assert scene.sharing is not None
    assert scene.sharing.started is None


def test_share_says_how_many_blocks_fit_before_it_starts(scene: Scene, capsys: Capture) -> None:
    scene.fit_note = "8.0 GiB free on this machine's processor: 3 of 80 blocks."
    assert main(["share", "m"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == scene.fit_note


def test_share_of_what_does_not_fit_needs_a_word(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    scene.refusal = TorbizError(
        "Not one block of m fits on this machine.", remedy="Use --anyway.", code="does_not_fit"
    )
    assert main(["share", "m"]) == 1
    assert "Not one block of m fits" in capsys.readouterr().err
    assert scene.sharing is not None
    assert scene.sharing.started is None
    assert main(["share", "m", "--anyway"]) == 0
    assert scene.sharing.started is not None
    assert scene.sharing.started.anyway


def test_share_tells_that_it_failed(scene: Scene, capsys: Capture) -> None:
    scene.becomes = SharingState(phase=Phase.FAILED)
    assert main(["share", "m", "--wait", "--timeout", "5"]) == 1
    assert "has ended before it was serving" in capsys.readouterr().err


def test_share_tells_what_is_known_of_a_problem_while_it_starts(
    scene: Scene, capsys: Capture
) -> None:
    line = "ValidationError: local time must be within 3 seconds  of others(local: 1, peer: 2)"
    scene.tells = take_line(SharingState(phase=Phase.STARTING, stage=Stage.CONNECTING), line)
    scene.becomes = serving()
    assert main(["share", "m", "--wait"]) == 0
    told = capsys.readouterr().err
    assert "The clock of this machine is wrong. Peers accept each other only" in told
    assert "then start again." in told


def test_status_says_when_the_server_pauses(scene: Scene, capsys: Capture) -> None:
    state = serving()
    assert state.spec is not None
    night = replace(state.spec, hours="22:00-07:00", pause_when_busy=40)
    scene.state = replace(state, spec=night)
    assert main(["status"]) == 0
    assert "pauses      outside of 22:00-07:00, while others use" in capsys.readouterr().out
    reason = "it serves at 22:00-07:00 only"
    scene.state = replace(scene.state, phase=Phase.STARTING, stage=Stage.LAUNCHING, pauses=reason)
    assert main(["status", "--json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["pausing"] == reason
    assert answer["pauses"] == {"hours": "22:00-07:00", "mains_only": False, "above_percent": 40}


def test_status_of_a_serving_machine(scene: Scene, capsys: Capture) -> None:
    scene.state = serving()
    assert main(["status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["phase"], answer["blocks"], answer["pid"]) == ("serving", [0, 8], 42)
    assert (answer["cpu_percent"], answer["memory_bytes"]) == (12.0, 500 * 2**20)
    assert (answer["exit"], answer["failure"], answer["environment"]) == (None, None, "native")
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "blocks      0:8 of 8" in lines
    assert "uses        12% CPU, 500 MiB" in lines


def test_status_tells_what_is_served_and_to_whom(scene: Scene, capsys: Capture) -> None:
    served = Served(
        rate=12.3,
        prompt_tokens=1204,
        generated_tokens=512,
        open=1,
        requests=3,
        cache_tokens=1204,
        cache_tokens_size=8192,
        cache_bytes=17,
        cache_bytes_size=116,
        received=39_664,
        sent=26_503,
        clients=3,
        client_names=("c8AjyG", "SRx4yK"),
    )
    scene.state = replace(serving(), served=served, swarm=SwarmSeen(2, ((8, 12),)))
    assert main(["status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["tokens_per_second"], answer["tokens"]) == (
        12.3,
        {"prompt": 1204, "generated": 512},
    )
    cache = {"tokens": 1204, "tokens_size": 8192, "bytes": 17, "bytes_size": 116}
    assert answer["attention_cache"] == cache
    assert answer["clients"] == {"count": 3, "peers": ["c8AjyG", "SRx4yK"]}
    assert answer["client_bytes"] == {"received": 39_664, "sent": 26_503}
    assert answer["swarm"] == {"servers": 2, "whole": False, "missing": [[8, 12]]}
    assert answer["gpu"] is None
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "serves      12.3 tokens/s; 1,204 tokens of prompts and 512 generated so far" in lines
    assert "cache       1,204 of 8,192 tokens reserved" in lines
    assert "clients     …c8AjyG, …SRx4yK and 1 more" in lines
    assert "swarm       2 servers, blocks 8:12 lack a server" in lines
    scene.state = replace(scene.state, phase=Phase.FAILED)
    assert main(["status", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["clients"] is None


def test_status_tells_of_a_crash_and_of_a_download(scene: Scene, capsys: Capture) -> None:
    starting = replace(serving(), phase=Phase.STARTING, stage=Stage.LAUNCHING, restart_at=7.0)
    scene.state = starting
    assert main(["status", "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["restart_at"], told["download"]) == (7.0, None)
    download = Download(2, 5, 1, 3)
    scene.state = replace(starting, stage=Stage.DOWNLOADING, restart_at=None, download=download)
    assert main(["status", "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["restart_at"], told["stage"]) == (None, "downloading")
    assert told["download"] == {"done": 2, "total": 5, "rate": 1, "remaining_s": 3, "waiting": ""}


def test_a_server_that_finishes_for_somebody_else_is_stopping(
    scene: Scene, capsys: Capture
) -> None:
    scene.state = take_line(
        serving(), "Nov 27 15:53:02.605 [INFO] Finishing what is being answered, then stopping"
    )
    assert main(["status"]) == 4
    assert capsys.readouterr().out.splitlines()[0] == "state       stopping"


def test_status_of_a_container(scene: Scene, capsys: Capture) -> None:
    scene.state = replace(
        serving(),
        pid=None,
        container="torbiz-petals-seeder",
        container_id="0123456789abcdef",
        paused=True,
        lost="Docker does not answer.",
        resources=ResourceSample(12.0, 500 * 2**20, 4, 3_000_000, 2_000_000_000),
    )
    assert main(["status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["pid"], answer["container"]) == (None, "torbiz-petals-seeder")
    assert (answer["container_id"], answer["paused"]) == ("0123456789abcdef", True)
    assert answer["contact_lost"] == "Docker does not answer."
    assert (answer["network_rx_bytes"], answer["network_tx_bytes"]) == (3_000_000, 2_000_000_000)
    assert answer["disk"]["env"] == 0
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "container   torbiz-petals-seeder 0123456789ab" in lines
    assert "paused      It is frozen and answers nobody." in lines
    assert "not known   Docker does not answer." in lines
    assert "uses        12% CPU, 500 MiB, 3 MB received, 2.00 GB sent" in lines
    assert not any(line.startswith("process") for line in lines)


def test_status_of_a_server_that_died(scene: Scene, capsys: Capture) -> None:
    scene.state = SharingState(
        phase=Phase.FAILED,
        spec=serving().spec,
        failure="It ran out of memory.",
        exit_report=ExitReport(code=None, signal="SIGKILL", out_of_memory=True),
    )
    assert main(["status", "--json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit"] == {"code": None, "signal": "SIGKILL", "out_of_memory": True}
    assert main(["status"]) == 4
    assert "It ran out of memory." in capsys.readouterr().out


def test_status_of_a_machine_that_shares_nothing(scene: Scene, capsys: Capture) -> None:
    assert main(["status"]) == 4
    assert capsys.readouterr().out == "Not sharing.\n"


def test_status_where_no_engine_answers_does_not_claim_to_know(
    scene: Scene, capsys: Capture
) -> None:
    scene.state = SharingState(lost="Docker is not running. There is no /run/docker.sock.")
    assert main(["status"]) == 4
    said = capsys.readouterr().out
    assert "Not sharing." not in said
    assert "Docker is not running." in said


def test_stop_is_content_when_nothing_runs(scene: Scene, capsys: Capture) -> None:
    assert main(["stop"]) == 0
    assert "nothing to stop" in capsys.readouterr().err
    scene.state = serving()
    assert main(["stop"]) == 0
    assert capsys.readouterr().err == "Stopped sharing.\n"
