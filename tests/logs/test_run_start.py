"""Where a run begins in its log is found again, wherever it was rotated to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torbiz_tui.logs.following import Follower
from torbiz_tui.logs.rotation import bound
from torbiz_tui.logs.run_start import RunStart, begin_run, last_of_run, run_follower
from torbiz_tui.logs.writing import rotate

# It writes so many lines for each line that it is sent, and says that they are written.
_WRITER = """
import os, sys
number = 0
for count in sys.stdin:
    for _ in range(int(count)):
        os.write(1, b"line %d\\n" % number)
        number += 1
    os.write(2, b"written\\n")
"""


class Writer:
    """A program whose output goes to a log, behind a heading."""

    def __init__(self, file: Path) -> None:
        with file.open("ab") as log:
            self.start = begin_run(log, "It starts")
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WRITER],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.PIPE,
            )

    def write(self, count: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.write(b"%d\n" % count)
        self._process.stdin.flush()
        assert self._process.stderr.readline() == b"written\n"

    def end(self) -> None:
        self._process.communicate(timeout=10)


def lines_of(follower: Follower) -> list[str]:
    lines: list[str] = []
    while not follower.caught_up or not lines:
        lines += follower.read()
        if follower.caught_up:
            break
    return lines


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_who_comes_later_reads_the_run_from_its_beginning(tmp_path: Path, rotations: int) -> None:
    """Nothing of an earlier run, and the lines that follow as well."""
    file = tmp_path / "server.log"
    file.write_bytes(b"of an earlier run\n")
    writer = Writer(file)
    for _ in range(rotations):
        writer.write(500)
        assert bound(file, max_bytes=1_000, kept=2)
    writer.write(500)
    count = 500 * (rotations + 1)
    follower = run_follower(file, writer.start)
    assert lines_of(follower) == [f"line {number}" for number in range(count)]
    writer.write(10)
    assert bound(file, max_bytes=1, kept=2)
    writer.write(10)
    late = [f"line {number}" for number in range(count, count + 20)]
    assert lines_of(follower) == late
    writer.end()
    follower.close()


def test_its_last_lines_are_found_right_after_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_bytes(b"of an earlier run\n")
    writer = Writer(file)
    assert last_of_run(file, writer.start, 5) == []
    writer.write(3)
    assert bound(file, max_bytes=10)
    assert last_of_run(file, writer.start, 5) == [b"line 0", b"line 1", b"line 2"]
    writer.write(1)
    assert last_of_run(file, writer.start, 2) == [b"line 2", b"line 3"]
    writer.end()


def test_of_a_run_whose_beginning_is_gone_all_is_read_that_is_left(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    writer = Writer(file)
    for _ in range(4):
        writer.write(100)
        assert bound(file, max_bytes=10, kept=2)
    writer.end()
    follower = run_follower(file, writer.start)
    assert lines_of(follower) == [f"line {number}" for number in range(200, 400)]
    follower.close()


def test_two_runs_at_the_same_offset_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    first = Writer(file)
    first.write(5)
    first.end()
    rotate(file, max_bytes=10)
    second = Writer(file)
    second.write(2)
    second.end()
    assert first.start.offset == second.start.offset
    assert last_of_run(file, second.start, 9) == [b"line 0", b"line 1"]
    follower = run_follower(file, first.start)
    assert lines_of(follower)[:5] == [f"line {number}" for number in range(5)]
    follower.close()


def test_what_an_earlier_version_wrote_down_still_holds(tmp_path: Path) -> None:
    """Without a heading: the offset in the log, and all of it when it has become smaller."""
    file = tmp_path / "server.log"
    file.write_bytes(b"old\nnew\n")
    assert last_of_run(file, RunStart(4), 9) == [b"new"]
    follower = run_follower(file, RunStart(4))
    assert lines_of(follower) == ["new"]
    follower.close()
    file.write_bytes(b"x\n")
    assert last_of_run(file, RunStart(4), 9) == [b"x"]


def test_on_a_full_disk_a_run_begins_without_a_heading(small_disk: Path) -> None:
    file = small_disk / "server.log"
    file.write_bytes(b"old\n" * 1024)
    with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(65_536))
    with file.open("ab") as log:
        assert begin_run(log, "It starts") == RunStart(file.stat().st_size)
