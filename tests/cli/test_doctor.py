"""`doctor` says what the logs tell, beside what it has checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.fakes import Scene
from torbiz_tui.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def troubled_home(home: Path) -> Path:
    logs = home / "logs"
    logs.mkdir(parents=True)
    (logs / "petals_seeder.log").write_text(
        "[INFO] Network throughput is not available: x. Using default of 100.00 Mbit/s\n"
        "OSError: [Errno 98] Address already in use\n",
        "utf-8",
    )
    return home


def test_known_symptoms_are_told_with_what_to_do(
    scene: Scene, troubled_home: Path, capsys: Capture
) -> None:
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    told = output[output.index("The logs say") :].splitlines()
    assert told[1:3] == [
        "The port is taken. (in the log seeder)",
        "  OSError: [Errno 98] Address already in use",
    ]
    assert "--port" in told[4]
    # What is harmless is not worth a line.
    assert "throughput" not in output


def test_the_object_has_all_of_them(scene: Scene, troubled_home: Path, capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ready"] is True
    assert [one["id"] for one in answer["findings"]] == ["port_taken", "throughput_unknown"]
    assert answer["findings"][0] == {
        "id": "port_taken",
        "severity": "error",
        "title": "The port is taken.",
        "cause": "Another program listens there.",
        "remedy": "Choose another port (share.port, or --port).",
        "action": "other_port",
        "log": "seeder",
        "line": "OSError: [Errno 98] Address already in use",
    }


def test_without_logs_nothing_is_said_of_them(scene: Scene, capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    assert "The logs" not in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
