"""When a server pauses, and that the supervisor keeps to it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from torbiz_tui.config_values import is_hours

SCRIPTS = Path(__file__).parents[2] / "runner_scripts"
# While the file exists it may not serve.
_SUPERVISOR = """
import pathlib, sys, supervise_server as s
flag = pathlib.Path(sys.argv.pop(1))
s.PAUSE_LOOK_S = 0.05
s.PAUSE_DRAIN_S = float(sys.argv.pop(1))
s.Conditions.any = True
s.Conditions.reason = lambda self: "the flag is there" if flag.exists() else ""
sys.exit(s.main())
"""
_SERVER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("stopped", flush=True), sys.exit(0)))
if sys.argv[1] == "finishes":
    signal.signal(signal.SIGUSR1, lambda *_: (print("finished", flush=True), sys.exit(0)))
else:
    signal.signal(signal.SIGUSR1, lambda *_: print("goes on", flush=True))
print("serves", flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def pausing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pausing", SCRIPTS / "pausing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pausing"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22:00-07:00", ("22:00", "23:59", "00:00", "06:59"), ("07:00", "12:00", "21:59")),
        ("9:30-17:00", ("09:30", "16:59"), ("09:29", "17:00", "00:00")),
    ],
)
def test_hours_of_the_day(
    pausing: ModuleType, hours: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    def reason_at(clock: str) -> str:
        now = time.strptime(clock, "%H:%M")
        made = pausing.Conditions(pausing.Hours.parse(hours), mains_only=False, now=lambda: now)
        return str(made.reason())

    assert [clock for clock in inside if reason_at(clock)] == []
    assert [clock for clock in outside if not reason_at(clock)] == []
    assert reason_at(outside[0]) == f"it serves at {hours} only"


@pytest.mark.parametrize("text", ["22-7", "24:00-01:00", "8:60-9:00", "8:00-08:00", "08:00", "x"])
def test_what_are_no_hours_is_refused_in_both_places(pausing: ModuleType, text: str) -> None:
    assert not is_hours(text)
    with pytest.raises(ValueError, match="are no hours"):
        pausing.Hours.parse(text)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS asks pmset")
def test_the_battery(pausing: ModuleType, tmp_path: Path) -> None:
    def supply(name: str, **facts: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        for fact, value in facts.items():
            (tmp_path / name / fact).write_text(f"{value}\n")

    assert not pausing.on_battery(tmp_path / "nowhere")
    supply("hid-mouse", type="Battery", scope="Device", status="Discharging")
    assert not pausing.on_battery(tmp_path)
    supply("BAT0", type="Battery", status="Discharging")
    supply("AC", type="Mains", online="0")
    assert pausing.on_battery(tmp_path)
    supply("AC", online="1")
    assert not pausing.on_battery(tmp_path)


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if wanted in line:
            return lines
    raise AssertionError(f"it ended without {wanted!r}: {lines}")


@pytest.mark.parametrize(
    ("server", "drain_s", "last"), [("finishes", "20", "finished"), ("goes on", "0.2", "stopped")]
)
def test_the_server_pauses_and_comes_back(
    tmp_path: Path, server: str, drain_s: str, last: str
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _SUPERVISOR, str(flag), drain_s),
            *("--report", str(tmp_path / "exit.json")),
            *("--", sys.executable, "-c", _SERVER, server),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=SCRIPTS,
    )
    # It was started while it may not serve.
    assert "[INFO] Sharing pauses: the flag is there" in lines_until(process, "pauses")[-1]
    flag.unlink()
    assert lines_until(process, "serves") == ["serves"]
    flag.touch()
    assert last in lines_until(process, "pauses")
    flag.unlink()
    lines_until(process, "serves")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)
    report = json.loads((tmp_path / "exit.json").read_text("utf-8"))
    assert (report["code"], report["asked_to_stop"]) == (0, True)


def test_a_stop_in_a_pause(tmp_path: Path) -> None:
    (tmp_path / "flag").touch()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _SUPERVISOR, str(tmp_path / "flag"), "1"),
            *("--report", str(tmp_path / "exit.json"), "--", "/bin/false"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=SCRIPTS,
    )
    lines_until(process, "pauses")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)
    report = json.loads((tmp_path / "exit.json").read_text("utf-8"))
    assert (report["code"], report["asked_to_stop"]) == (0, True)
