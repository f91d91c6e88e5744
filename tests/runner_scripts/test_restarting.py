"""The supervisor starts a server that has crashed again, and no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "runner_scripts"
_SUPERVISOR = """
import sys, supervise_server as s
s.RESTART_PAUSES_S = tuple(float(part) for part in sys.argv.pop(1).split(","))
sys.exit(s.main())
"""
# Each run takes the next of the endings: what it says, then how it ends.
_SERVER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from supervisor_words import tell_supervisor
left = Path(sys.argv[2])
endings = left.read_text().split()
left.write_text(" ".join(endings[1:]))
said, _, end = endings[0].partition(":")
print("run", endings[0], flush=True)
if said:
    tell_supervisor(said)
if end == "wait":
    time.sleep(60)
if end.isdigit():
    os._exit(int(end))
os.kill(os.getpid(), getattr(signal, end))
time.sleep(60)
"""


def start(folder: Path, endings: str, pauses: str = "0", *more: str) -> subprocess.Popen[str]:
    (folder / "endings").write_text(endings)
    return subprocess.Popen(
        [
            *(sys.executable, "-c", _SUPERVISOR, pauses, "--report", str(folder / "exit.json")),
            *(more or ("--restart",)),
            *("--", sys.executable, "-c", _SERVER, str(SCRIPTS), str(folder / "endings")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=SCRIPTS,
    )


def runs_of(lines: Sequence[str]) -> int:
    return len([line for line in lines if line.startswith("run ")])


def ended(folder: Path, process: subprocess.Popen[str]) -> tuple[list[str], dict[str, Any]]:
    printed, _ = process.communicate(timeout=30)
    return printed.splitlines(), json.loads((folder / "exit.json").read_text("utf-8"))


def test_a_crash_is_followed_by_another_start_and_told(tmp_path: Path) -> None:
    lines, report = ended(tmp_path, start(tmp_path, "serving:SIGKILL serving:1 serving:0"))
    assert runs_of(lines) == 3
    told = [line.partition("] ")[2] for line in lines if "[WARN]" in line]
    assert told == [
        "The server crashed (SIGKILL): it is started again in 0 s",
        "The server crashed (exit code 1): it is started again in 0 s",
    ]
    assert (report["code"], report["signal"]) == (0, None)


@pytest.mark.parametrize(
    ("endings", "runs"),
    [
        # It never served: a wrong setting, a model that is not there.
        (":1", 1),
        (":SIGKILL", 1),
        # Somebody has ended the process itself, or it has ended by itself.
        ("serving:SIGTERM", 1),
        ("serving:0", 1),
        # The model is refused meanwhile.
        ("serving:SIGKILL refused:1", 2),
        # Nobody answers for a while.
        ("serving:SIGKILL :1 :1 serving:0", 4),
    ],
)
def test_what_would_fail_again_is_not_started_again(
    tmp_path: Path, endings: str, runs: int
) -> None:
    lines, _report = ended(tmp_path, start(tmp_path, endings))
    assert runs_of(lines) == runs


def test_without_the_option_it_stays_ended(tmp_path: Path) -> None:
    lines, report = ended(tmp_path, start(tmp_path, "serving:SIGKILL", "0", "--log-limit", "9"))
    assert runs_of(lines) == 1
    assert report["signal"] == "SIGKILL"


def test_six_crashes_within_an_hour_end_it(tmp_path: Path) -> None:
    lines, report = ended(tmp_path, start(tmp_path, "serving:SIGKILL " * 9, "0,0,0.1"))
    assert runs_of(lines) == 6
    assert "6 times within an hour: it is not started again" in lines[-1]
    assert "[ERROR]" in lines[-1]
    assert report["signal"] == "SIGKILL"


@pytest.mark.parametrize("endings", ["serving:SIGKILL serving:0", "serving:SIGKILL serving:wait"])
def test_a_stop_counts_in_a_pause_and_after_it(tmp_path: Path, endings: str) -> None:
    waits = endings.endswith("wait")
    process = start(tmp_path, endings, "0" if waits else "60")
    assert process.stdout is not None
    wanted = "run serving:wait" if waits else "started again in 60 s"
    for line in process.stdout:
        if wanted in line:
            break
    os.kill(process.pid, signal.SIGTERM)
    lines, report = ended(tmp_path, process)
    assert lines == []
    assert report["asked_to_stop"]
