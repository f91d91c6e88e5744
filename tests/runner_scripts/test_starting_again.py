"""The supervisor goes on where it is hard: no network after a pause, a crash in one, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .runner_process import SCRIPTS, lines_until

# While the file `flag` exists it may not serve.
_SUPERVISOR = """
import pathlib, sys, supervise_server as s
flag = pathlib.Path("flag")
s.PAUSE_LOOK_S = 0.05
s.RESTART_PAUSES_S = (0.0,)
s.Conditions.any = True
s.Conditions.reason = lambda self: "the flag is there" if flag.exists() else ""
sys.exit(s.main())
"""
# Each run takes the next of the endings: whether it serves, and how it ends.
_SERVER = """
import os, signal, sys, time
from pathlib import Path
from supervisor_words import tell_supervisor
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
left = Path("endings")
endings = left.read_text().split()
left.write_text(" ".join(endings[1:]))
said, _, end = endings[0].partition(":")
if said:
    tell_supervisor(said)
if end == "pauses":
    Path("flag").touch()
print("run", endings[0], flush=True)
if end in ("pauses", "waits"):
    time.sleep(600)
if end == "crashes-in-a-pause":
    Path("flag").touch()
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(int(end))
"""


Start = Callable[[str, int], subprocess.Popen[str]]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Start]:
    """Starts a supervisor of servers with these endings; nothing of it is left."""
    started: list[subprocess.Popen[str]] = []

    def start(endings: str, stderr: int) -> subprocess.Popen[str]:
        (tmp_path / "endings").write_text(endings)
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _SUPERVISOR, "--report", "exit.json", "--restart"),
                *("--", sys.executable, "-c", _SERVER),
            ],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def test_a_start_after_a_pause_may_fail_at_first(tmp_path: Path, supervised: Start) -> None:
    process = supervised("serving:pauses :1 :1 serving:waits", subprocess.STDOUT)
    lines_until(process, "Sharing pauses")
    (tmp_path / "flag").unlink()
    told = lines_until(process, "run serving:waits")
    assert len([line for line in told if "crashed (exit code 1): it is started again" in line]) == 2
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)


def test_what_has_crashed_is_not_started_again_while_it_may_not_serve(
    tmp_path: Path, supervised: Start
) -> None:
    endings = "serving:crashes-in-a-pause serving:waits"
    process = supervised(endings, subprocess.STDOUT)
    told = lines_until(process, "Sharing pauses")
    assert [line for line in told if line.startswith("run")] == ["run serving:crashes-in-a-pause"]
    (tmp_path / "flag").unlink()
    assert lines_until(process, "run serving:waits") == ["run serving:waits"]
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_does_not_keep_a_crashed_server_from_being_started_again(
    tmp_path: Path, supervised: Start
) -> None:
    with Path("/dev/full").open("wb") as full:
        process = supervised("serving:1 serving:0", full.fileno())
    printed, _ = process.communicate(timeout=60)
    assert printed.splitlines() == ["run serving:1", "run serving:0"]
    assert process.returncode == 0
    assert json.loads((tmp_path / "exit.json").read_text("utf-8"))["code"] == 0
