"""Bounding a log that a program has open: no line of it is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from torbiz_tui.logs import rotation
from torbiz_tui.logs.following import Follower
from torbiz_tui.logs.rotation import bound

# It writes until nobody holds its stdin, from one of two busy threads, and says how much it was.
_WRITER = """
import os, select, sys, threading
threading.Thread(target=lambda: sum(range(10**7)), daemon=True).start()
number = 0
while not select.select([0], [], [], 0)[0]:
    for _ in range(50):
        os.write(1, b"".join(b"line %d\\n" % (number + more) for more in range(20)))
        number += 20
sys.stderr.write(str(number))
"""


def test_a_program_that_never_pauses_loses_no_line(tmp_path: Path) -> None:
    """Neither for who follows, nor in the files that are left."""
    file = tmp_path / "server.log"
    follower = Follower(file)
    lines: list[str] = []
    with file.open("ab") as log:
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.PIPE,
        )
    rotated = 0
    while rotated < 5:
        assert writer.poll() is None
        rotated += bound(file, max_bytes=300_000, kept=100)
        lines += read_all(follower)
    _, said = writer.communicate(timeout=30)
    lines += read_all(follower)
    count = int(said)
    assert lines == [f"line {number}" for number in range(count)]
    kept = [tmp_path / f"server.log.{number}" for number in range(rotated, 0, -1)]
    assert b"".join(one.read_bytes() for one in [*kept, file]).count(b"\n") == count
    assert {one.name for one in tmp_path.iterdir()} == {one.name for one in [*kept, file]}


def read_all(follower: Follower) -> list[str]:
    lines: list[str] = []
    while True:
        lines += follower.read()
        if follower.caught_up:
            return lines


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    for number in range(4):
        with file.open("ab") as stream:
            stream.write(b"%d\n" % number)
        assert bound(file, max_bytes=1, kept=2)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "a.log": b"",
        "a.log.1": b"3\n",
        "a.log.2": b"2\n",
    }


def test_a_line_that_is_not_finished_waits(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\ntw")
    assert not bound(file, max_bytes=4, kept=1)
    assert file.read_bytes() == b"one\ntw"
    with file.open("ab") as stream:
        stream.write(b"o and much more without an end")
    assert bound(file, max_bytes=4, kept=1)


def test_a_writer_that_does_not_stop_in_time_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.log"
    with file.open("ab") as log:
        writer = subprocess.Popen(
            [sys.executable, "-c", "print('one', flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=log,
        )
    try:
        while not file.stat().st_size:
            assert writer.poll() is None
        with monkeypatch.context() as patch:
            patch.setattr(rotation, "_signal", lambda *_: None)
            patch.setattr(rotation, "_runs", lambda _pid: True)
            patch.setattr(rotation, "_STOP_S", 0.0)
            assert not bound(file, max_bytes=1)
        assert [one.name for one in tmp_path.iterdir()] == ["a.log"]
        assert file.read_bytes() == b"one\n"
        assert bound(file, max_bytes=1)
    finally:
        writer.kill()
        writer.communicate()


def test_what_is_small_or_no_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    assert not bound(file, max_bytes=4)
    file.write_bytes(b"one\n")
    assert not bound(file, max_bytes=4)
    assert file.read_bytes() == b"one\n"


def test_writers_are_found_and_go_on(tmp_path: Path) -> None:
    """Who only reads is left alone, and so is this process."""
    file = tmp_path / "a.log"
    file.write_bytes(b"one\n")
    with file.open("ab") as log, file.open("rb") as reading:
        wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        writer = subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=log)
        reader = subprocess.Popen(
            [*wait[:2], "input()"],
            stdin=subprocess.PIPE,
            pass_fds=[reading.fileno()],
        )
        try:
            assert rotation._writers(file.stat()) == [writer.pid]
            with rotation._stopped([writer.pid]):
                assert not rotation._runs(writer.pid)
            assert rotation._runs(writer.pid)
        finally:
            for process in (writer, reader):
                process.kill()
                process.wait()
