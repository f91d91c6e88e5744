"""The supervisor has the log of its server rotated, with nobody else there."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "runner_scripts"
ROTATE = shlex.join([sys.executable, "-P", "-m", "torbiz_tui.logs.rotation"])
_SUPERVISOR = "import sys, supervise_server as s; s.LOG_LOOK_S = 0.05; sys.exit(s.main())"
# Its lines fill a log twice; it ends when its log has been rotated and is small, so that nobody is
# at it any more, or when its problem has been told.
_SERVER = """
import os, sys, time
log = sys.argv[1]
for number in range(110_000):
    os.write(1, b"%0100d\\n" % number)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    small = os.path.getsize(log) < 5_000_000
    if os.path.exists(log + ".1") if small else b"rotated" in open(log, "rb").read():
        break
    time.sleep(0.02)
# It would be told again meanwhile.
time.sleep(0.3)
os.write(1, b"the end\\n")
"""


def supervised(folder: Path, rotate: str) -> list[str]:
    """Run the server on a log; all lines, those that were rotated away first."""
    log = folder / "server.log"
    with log.open("ab") as stream:
        done = subprocess.run(
            [
                *(sys.executable, "-c", _SUPERVISOR, "--report", str(folder / "exit.json")),
                *("--log", str(log), "--rotate", rotate),
                *("--", sys.executable, "-c", _SERVER, str(log)),
            ],
            stdout=stream,
            stderr=stream,
            cwd=SCRIPTS,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert json.loads((folder / "exit.json").read_text("utf-8"))["code"] == 0
    parts = [folder / "server.log.2", folder / "server.log.1", log]
    return [line for part in parts if part.exists() for line in part.read_text().splitlines()]


def test_a_log_that_has_grown_is_rotated_and_no_line_lost(tmp_path: Path) -> None:
    lines = supervised(tmp_path, ROTATE)
    assert (tmp_path / "server.log.1").stat().st_size > 5_000_000
    assert (tmp_path / "server.log").stat().st_size < 10_000_000
    assert lines == [f"{number:0100d}" for number in range(110_000)] + ["the end"]


@pytest.mark.parametrize(
    ("rotate", "told"),
    [
        ("/nowhere/python", "is not rotated: [Errno 2]"),
        (f"""{sys.executable} -c "raise OSError('not rotated')" """, "OSError: not rotated"),
    ],
)
def test_what_keeps_it_from_that_is_told_once_in_the_log(
    tmp_path: Path, rotate: str, told: str
) -> None:
    lines = supervised(tmp_path, rotate)
    assert len(lines) == 110_002
    assert len([line for line in lines if told in line]) == 1
