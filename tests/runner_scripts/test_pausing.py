"""When a server pauses, and that the supervisor keeps to it."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from torbiz_tui.config_forms import is_hours

from .runner_process import lines_until

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
def pausing() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("pausing")


@pytest.fixture(scope="module")
def others_load(pausing: ModuleType) -> ModuleType:
    return importlib.import_module(pausing.OthersLoad.__module__)


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


class Machine:
    """A machine whose load is given, looked at every ten seconds."""

    def __init__(self, others_load: ModuleType, percent: float) -> None:
        self.clock = 0.0
        self.part: float | None = None
        self.session: int | None = 1
        self.load = others_load.OthersLoad(
            percent, lambda: self.session, share=self.share, now=lambda: self.clock
        )

    def share(self, session: int | None) -> float | None:
        changed, self.last = getattr(self, "last", 0) != session, session
        return None if changed else self.part

    def changes(self, seconds: float, percent: float) -> list[tuple[float, bool]]:
        """At which times of the next `seconds` the verdict changes, at such a load of others."""
        self.part = percent / 100
        found = []
        before, begun = getattr(self, "verdict", False), self.clock
        while self.clock < begun + seconds:
            self.clock += 10
            self.verdict = self.load.too_high()
            if self.verdict != before:
                found.append((self.clock - begun, self.verdict))
            before = self.verdict
        return found


def test_an_afternoon_that_nobody_looked_at_does_not_count(others_load: ModuleType) -> None:
    """As while the server paused outside of its hours."""
    machine = Machine(others_load, percent=50)
    assert machine.changes(60, percent=10) == []
    machine.clock += 5 * 3600
    machine.part = 0.9
    assert not machine.load.too_high()
    assert machine.changes(600, percent=10) == []


def test_others_load_counts_after_a_minute_and_is_over_after_three_quiet_ones(
    others_load: ModuleType,
) -> None:
    machine = Machine(others_load, percent=50)
    assert machine.changes(600, percent=20) == []
    # A short burst is none, nor is what stays at the limit.
    assert machine.changes(20, percent=90) == []
    assert machine.changes(60, percent=20) == []
    assert machine.changes(600, percent=50) == []
    # A minute's mean of 50 and 90 is above 50 at the first look.
    assert machine.changes(60, percent=90) == [(10, True)]
    # Between two thirds of the limit and the limit all stays as it is.
    assert machine.changes(600, percent=40) == []
    [(after, verdict)] = machine.changes(600, percent=5)
    assert not verdict
    assert 180 <= after <= 240
    # A single loud minute in the quiet begins it anew.
    assert machine.changes(60, percent=100) == [(30, True)]
    assert machine.changes(120, percent=0) == []
    assert machine.changes(60, percent=60) == []
    [(after, _verdict)] = machine.changes(600, percent=0)
    assert 180 <= after <= 240


def test_what_was_seen_before_a_start_does_not_count_after_it(others_load: ModuleType) -> None:
    machine = Machine(others_load, percent=50)
    assert machine.changes(60, percent=100) == []
    machine.session = 2
    assert machine.changes(60, percent=100) == []
    assert machine.changes(60, percent=100) == [(10, True)]
    # The server is ended for that, which begins anew as well: it is no reason to go on.
    machine.session = None
    assert machine.changes(300, percent=60) == []
    assert [verdict for _after, verdict in machine.changes(600, percent=10)] == [False]


def test_what_others_use_is_all_but_the_servers_session(
    others_load: ModuleType, tmp_path: Path
) -> None:
    def tick(user: int, idle: int, **own: int) -> None:
        # 100 of nice, system, irq, softirq and steal each that never change; 7 of guest are in user.
        (tmp_path / "stat").write_text(f"cpu  {user} 100 100 {idle} 50 100 100 100 7 7\ncpu0 1\n")
        for pid, used in own.items():
            folder = tmp_path / pid.removeprefix("p")
            folder.mkdir(exist_ok=True)
            # A name may hold anything.
            session = 40 if pid in ("p40", "p41") else 9
            fields = f"S 1 1 {session} 0 0 0 0 0 0 0 {used} 0 0 0 20 0"
            (folder / "stat").write_text(f"{folder.name} (a) b) {fields}\n")

    share = others_load.ProcShare(tmp_path)
    assert share(40) is None
    tick(0, 0, p40=0, p41=0, p50=0)
    assert share(40) is None
    tick(60, 40, p40=20, p41=10, p50=30)
    assert share(40) == pytest.approx(0.3)
    # A process of the server has ended, and what it used with it.
    (tmp_path / "41" / "stat").unlink()
    tick(110, 90, p40=25, p50=60)
    assert share(40) == pytest.approx(0.5)
    # Another server, or none: what there was between belongs to nobody.
    tick(210, 90, p40=25, p50=60)
    assert share(None) is None
    tick(235, 165, p50=60)
    assert share(None) == pytest.approx(0.25)


def test_the_rows_of_ps_are_added_up(others_load: ModuleType) -> None:
    rows = "    1   0.5\n   40  99.0\n   40   7.0\n  77 100.0\n  ??  x\n"
    assert others_load.share_in_ps(rows, 40, 2) == pytest.approx(0.5025)
    assert others_load.share_in_ps(rows, None, 1) == 1.0
    assert others_load.share_in_ps("", 40, 2) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_real_load_is_seen_and_the_servers_own_is_not(others_load: ModuleType) -> None:
    # It spins once it is told to, when what it has used before is known.
    spins = (
        "import os, time\ninput()\nused = sum(os.times()[:2])\n"
        "while sum(os.times()[:2]) < used + 0.4: pass\nprint(1, flush=True)\ntime.sleep(60)"
    )

    def of_busy_process(*, own: bool) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-c", spins],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        session = process.pid if own else os.getpid()
        share = others_load.ProcShare()
        share(session)
        machine_before, own_before = share._machine(), share._own(session)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        part = share(session)
        total = share._machine()[0] - machine_before[0]
        used = share._own(session) - own_before
        process.kill()
        process.communicate()
        return part, used, total

    part, used, _total = of_busy_process(own=True)
    assert used >= 30
    assert part is not None
    part, used, total = of_busy_process(own=False)
    assert used < 30
    assert part * total >= 30


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
