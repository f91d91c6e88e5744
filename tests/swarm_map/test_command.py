"""`torbiz-tui swarm`, with looks that are given."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.fakes import Scene, serving
from tests.swarm_map.monitors import ScriptedMonitor
from tests.swarm_map.swarms import crowd, server, snapshot
from torbiz_tui.assembly import Services
from torbiz_tui.cli import main
from torbiz_tui.config import Config
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.swarm_map.monitor import SwarmEvent, Trouble
from torbiz_tui.swarm_map.rows import cells

Capture = pytest.CaptureFixture[str]
WHOLE = snapshot(8, server(1, 0, 8))
HOLES = snapshot(8, server(1, 0, 3), server(2, 5, 8, reachable=False))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _no_settings_from_outside: None) -> None:
    monkeypatch.setenv("TORBIZ_HOME", str(tmp_path / "home"))


def watched(monkeypatch: pytest.MonkeyPatch, *events: SwarmEvent | None) -> ScriptedMonitor:
    """The monitor of the next call."""
    scene = Scene(state=serving(address="/ip4/192.0.2.7/tcp/1/p2p/12D3KooWQzx9000001"))
    monitor = ScriptedMonitor(*events)

    def build(config: Config, paths: Paths) -> Services:
        services = scene.build(config, paths)
        services.__dict__["swarm_monitor"] = monitor
        return services

    monkeypatch.setattr("torbiz_tui.commands.running.build_services", build)
    return monitor


def test_a_whole_swarm_as_picture_and_table(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monitor = watched(monkeypatch, WHOLE)
    assert main(["swarm", "torbiz-demo"]) == 0
    out = capsys.readouterr().out
    assert "Whole: all 8 blocks are served. 1 online" in out
    assert "yours     @@@@@@@@" in out
    assert "@ 0–7       online" in out
    assert "\x1b" not in out
    assert monitor.models == ["torbiz-demo"]
    assert monitor.closed


def test_holes_are_exit_code_5(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    watched(monkeypatch, HOLES)
    assert main(["swarm", "--model", "m"]) == 5
    assert "Nobody serves 3–7." in capsys.readouterr().out


def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    watched(monkeypatch, HOLES)
    assert main(["swarm", "m", "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert (told["complete"], told["missing"], told["num_blocks"]) == (False, [[3, 8]], 8)
    assert told["servers_per_block"] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert [(one["own"], one["state"]) for one in told["servers"]] == [
        (True, "online"),
        (False, "unreachable"),
    ]


def test_watching_prints_each_look_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    trouble = Trouble(TorbizError("The swarm's monitor has ended."), 2.0)
    monitor = watched(monkeypatch, trouble, HOLES, trouble, WHOLE)
    assert main(["swarm", "m", "--json", "--watch"]) == 130
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["complete"] for line in lines] == [False, True]
    assert printed.err.startswith("Looking for the swarm of m at 192.0.2.7:31337…\n")
    assert printed.err.count("The swarm's monitor has ended. Trying again in 2 s.") == 2
    assert monitor.closed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotServedError("Nobody serves m now."), 5),
        (TorbizError("No server announces m.", code="model_unknown"), 5),
        (TorbizError("The swarm cannot be reached.", code="connection_failed"), 1),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: TorbizError, code: int
) -> None:
    watched(monkeypatch, Trouble(error, 1.0))
    assert main(["swarm", "m"]) == code
    printed = capsys.readouterr()
    assert error.what in printed.err
    assert printed.out == ""


def test_gives_up_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monitor = watched(monkeypatch, None)
    assert main(["swarm", "m", "--timeout", "0.1"]) == 1
    assert "did not answer within 0.1 s" in capsys.readouterr().err
    assert monitor.closed


def test_needs_a_model_or_one_that_is_hosted(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monitor = watched(monkeypatch, WHOLE)
    assert main(["swarm"]) == 0
    assert monitor.models == ["torbiz-demo"]
    monkeypatch.setattr("torbiz_tui.commands.running.build_services", Scene().build)
    assert main(["swarm"]) == 2
    assert "Whose blocks should be shown?" in capsys.readouterr().err


def test_on_a_terminal_a_big_swarm_fits_the_screen_and_has_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    watched(monkeypatch, crowd(), crowd(seed=2)).last = crowd(seed=3)
    monkeypatch.setattr("torbiz_tui.commands.swarm.someone_reads", lambda: True)
    monkeypatch.setattr("torbiz_tui.commands.swarm.wants_colours", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    assert main(["swarm", "m", "--watch"]) == 130
    _before, last, first, second = capsys.readouterr().out.split("\x1b[H\x1b[2J")
    assert "As it was" in last
    assert "\x1b[32m" not in last
    assert "more rows" in first
    assert "\x1b[32m" in first
    for look in (last, first, second):
        lines = re.sub(r"\x1b\[[0-9;]*m", "", look).splitlines()
        assert len(lines) < 24
        assert max(map(cells, lines)) <= 80
