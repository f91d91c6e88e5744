"""Lines of a file by number and by offset, against splitting it in memory."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torbiz_tui.logs import line_index, log_file
from torbiz_tui.logs.log_file import LONGEST_READ, LogFile, RawLine
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.views import WholeView

# Everything that a log may hold: ends of both kinds, NUL, what is no UTF-8, lines over many blocks.
PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"a", b"word ", b"\x00", b"\xff\xfe", "é".encode(), b"\r", b"x" * 40, b"\n\n"]
)
CONTENTS = st.lists(PIECES, max_size=60).map(b"".join)


def split(data: bytes) -> list[bytes]:
    """The plain reference."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks of 16 bytes, so that everything happens at a border."""
    with (
        mock.patch.object(line_index, "BLOCK", 16),
        mock.patch.object(log_file, "BLOCK", 16),
        mock.patch.object(log_file, "_FEW_BYTES", 8),
    ):
        yield


@contextmanager
def written(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.log"
        file.write_bytes(data)
        yield file


def count_lines(log: LogFile) -> None:
    """Have the index built, as a big file's is."""
    done = threading.Event()

    def changed() -> None:
        if log.complete:
            done.set()

    log.start_index(changed)
    assert log.complete or done.wait(30)


def texts(lines: list[RawLine]) -> list[bytes]:
    return [line.data for line in lines]


@given(CONTENTS, st.lists(st.integers(0, 200), max_size=4), st.integers(0, 70), st.integers(0, 70))
@settings(deadline=None, max_examples=300)
def test_every_line_by_number(data: bytes, cuts: list[int], first: int, count: int) -> None:
    """However it grew, and whatever range is asked for."""
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    with small_blocks(), written(b"") as file:
        log = LogFile(file)
        position = 0
        for end in ends:
            with file.open("ab") as stream:
                stream.write(data[position:end])
            position = end
            log.look()
            assert log.complete
            assert texts(log.line_range(0, log.known)) == split(data[:end])
        lines = split(data)
        assert log.known == len(lines)
        assert texts(log.line_range(first, count)) == lines[first : first + count]
        offset = 0
        for number, line in enumerate(lines):
            assert log.offset_of(number) == offset
            for at in {offset, offset + len(line) // 2, offset + len(line)}:
                if at < len(data):
                    assert log.number_at(at) == number
                    assert log.line_start(at) == offset
                    assert log.line_end(at) == min(len(data), offset + len(line) + 1)
            (raw,) = log.line_range(number, 1)
            assert raw == RawLine(number, offset, line, len(line), offset + len(line) < len(data))
            offset += len(line) + 1


@given(CONTENTS, st.integers(0, 70), st.integers(0, 200))
@settings(deadline=None, max_examples=300)
def test_the_end_and_what_is_before_a_line(data: bytes, count: int, where: int) -> None:
    """Without an index, as a big file is opened."""
    with small_blocks(), mock.patch.object(log_file, "_COUNTED_AT_ONCE", -1), written(data) as file:
        log = LogFile(file)
        assert not log.complete or not data
        lines = split(data)
        assert texts(log.tail(count)) == lines[len(lines) - min(count, len(lines)) :]
        start = log.line_start(min(where, max(0, len(data) - 1)))
        before = split(data[:start])
        assert (
            texts(log.lines_before(start, count)) == before[len(before) - min(count, len(before)) :]
        )
        assert texts(log.lines_after(start, count)) == split(data[start:])[:count]


def test_a_line_of_any_length(tmp_path: Path) -> None:
    file = tmp_path / "long.log"
    long = bytes(range(11, 256)) * 42_000
    file.write_bytes(b"first\n" + long + b"\nlast")
    log = LogFile(file)
    count_lines(log)
    first, middle, last = log.line_range(0, 10)
    assert (first.data, last.data, last.ended, last.number) == (b"first", b"last", False, 2)
    assert middle.length == len(long)
    assert middle.data == long[:LONGEST_READ]
    assert log.whole(middle) == long
    assert texts(log.lines_before(last.offset, 2)) == [b"first", long[:LONGEST_READ]]


def test_growth_is_counted_while_the_rest_still_is(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"0123456\n" * 400_000)
    log = LogFile(file)
    told: list[int] = []
    done = threading.Event()

    def changed() -> None:
        told.append(log.known)
        if log.complete and log.known >= 400_100:
            done.set()

    log.start_index(changed)
    with file.open("ab") as stream:
        stream.write(b"more\n" * 100)
    log.look()
    if not log.complete:
        assert done.wait(30)
    assert log.known == 400_100
    assert told == sorted(told)
    assert texts(log.line_range(400_000, 1)) == [b"more"]


@pytest.mark.parametrize(
    "new", [b"", b"x\n", b"eno\nowt\n", b"other lines, and more of them\n" * 9]
)
def test_a_file_that_was_emptied_is_noticed(tmp_path: Path, new: bytes) -> None:
    """Also when as much or more was written to it since, in the same tick of the clock."""
    file = tmp_path / "a.log"
    file.write_bytes(b"one\ntwo\n")
    log = LogFile(file)
    assert not log.truncated
    file.write_bytes(new)
    assert log.look()
    assert log.truncated


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("", "pipe", "loop", "none"):
        with pytest.raises(OSError):
            LogFile(tmp_path / name)


def test_a_closed_file_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\n")
    log = LogFile(file)
    log.close()
    assert log.line_range(0, 1) == log.tail(1) == []
    assert not log.look()


def test_a_view_begins_with_the_end_and_then_has_everything(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"".join(b"line %d\n" % number for number in range(300_000)))
    (tmp_path / "a.log.1").write_bytes(b"older\n")
    series = LogSeries(file)
    view = WholeView(series)
    assert not view.complete
    last = view.lines(view.count - 1, 1)[0]
    assert last.data == b"line 299999"
    assert 1000 < view.count < 300_000
    with file.open("ab") as stream:
        stream.write(b"new\nand")
    count_lines(series.parts[-1])
    version = view.version
    assert view.look()
    assert view.version != version
    assert view.complete
    assert view.count == 300_003
    assert texts(view.lines(0, 2)) == [b"older", b"line 0"]
    assert view.index_of(last) == 300_000
    assert texts(view.lines(300_000, 9)) == [b"line 299999", b"new", b"and"]
