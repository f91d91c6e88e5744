"""What is wanted of a log, found backwards in pieces and forwards as it grows."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs.told import Told, shown
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs import record_reader, times
from torbiz_tui.logs.filtered_view import FilteredView
from torbiz_tui.logs.filtering import Filter, LineFilter, levels_from
from torbiz_tui.logs.log_file import LogFile
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.parsing import Parsed
from torbiz_tui.logs.times import line_at, offset_at

START = datetime(2026, 1, 1, tzinfo=UTC)


@st.composite
def logs(draw: st.DrawFn) -> list[str]:
    """Lines of a log in the order of their times, some with tracebacks, some bare."""
    lines: list[str] = []
    second = 0
    for number in range(draw(st.integers(0, 12))):
        second += draw(st.integers(0, 2))
        moment = START + timedelta(seconds=second)
        level = draw(st.sampled_from(["INFO", "WARN", "ERROR", "DEBUG"]))
        word = draw(st.sampled_from(["needle", "hay"]))
        kind = draw(st.sampled_from(["plain", "traceback", "bare", "indented", "blank"]))
        head = f"{moment:%Y-%m-%dT%H:%M:%S}Z [{level}] [part.{number % 2}] {number} {word}"
        lines.append(f"bare {number} {word}" if kind == "bare" else head)
        if kind == "traceback":
            raised = draw(st.sampled_from(["ValueError: needle", "KeyError"]))
            lines += ["Traceback (most recent call last):", '  File "a.py"', "    f()", raised]
        elif kind == "indented":
            lines += ["  more", f"\t{word}"]
        elif kind == "blank":
            lines.append("")
    return lines


WANTED = st.builds(
    Filter,
    text=st.sampled_from(["", "needle", "Error", "nothing"]),
    levels=st.sampled_from(["debug", "warning", "error", "critical"]).map(levels_from)
    | st.sampled_from([frozenset(), frozenset({"info"})]),
    sources=st.sampled_from([frozenset(), frozenset({"part.1"})]),
)


@given(logs(), WANTED, st.integers(0, 300), st.integers(1, 400), st.booleans())
@settings(deadline=None, max_examples=300)
def test_a_view_has_the_lines_that_a_filter_lets_through(
    lines: list[str], wanted: Filter, first: int, piece: int, copied: bool
) -> None:
    """However much was there at first, however it comes, and through a rotation."""
    expected = LineFilter(wanted).feed(lines)
    data = "".join(f"{line}\n" for line in lines).encode()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(record_reader, "_PIECE", piece),
    ):
        file = Path(folder) / "a.log"
        file.write_bytes(data[:first])
        series, told = LogSeries(file), Told()
        view = FilteredView(series, wanted, on_change=told)
        told.until(lambda: view.complete)
        with file.open("ab") as stream:
            stream.write(data[first:])
        view.look()
        told.until(lambda: view.count >= len(expected))
        if copied:
            shutil.copyfile(file, f"{file}.1")
            os.truncate(file, 0)
        else:
            file.rename(f"{file}.1")
        after = ["2026-01-02T00:00:00Z [ERROR] [part.1] needle Error"]
        file.write_text(f"{after[0]}\n", encoding="utf-8")
        expected += LineFilter(wanted).feed(after)
        view.look()
        told.until(lambda: view.count >= len(expected))
        assert shown(view) == expected
        for index, line in enumerate(view.lines(0, view.count)):
            assert view.index_of(line) == index
        view.close()


def test_a_traceback_is_let_through_with_its_line() -> None:
    lines = [
        "2026-01-01 00:00:00.000 [INFO] [a] before",
        "2026-01-01 00:00:01.000 [ERROR] [a] failed",
        "Traceback (most recent call last):",
        '  File "a.py", line 1',
        "ValueError: needle",
        "2026-01-01 00:00:02.000 [INFO] [a] after",
    ]
    assert LineFilter(Filter("needle")).feed(lines) == lines[1:5]
    assert LineFilter(Filter(levels=levels_from("error"))).feed(lines) == lines[1:5]
    assert LineFilter(Filter("needle", levels=frozenset({"info"}))).feed(lines) == []
    piecewise = LineFilter(Filter("needle"))
    assert [piecewise.feed([line]) for line in lines] == [[], [], [], [], lines[1:5], []]
    assert LineFilter(Filter()).feed(lines) == lines


def test_times_and_bad_patterns() -> None:
    lines = ["2026-01-01T00:00:00Z a", "late", "2026-01-01T00:00:05Z b", "2026-01-01T00:00:09Z c"]
    since, until = START + timedelta(seconds=5), START + timedelta(seconds=8)
    assert LineFilter(Filter(since=since)).feed(lines) == lines[2:]
    assert LineFilter(Filter(until=until)).feed(lines) == lines[:3]
    with pytest.raises(TorbizError) as caught:
        Filter("(", regex=True)
    assert caught.value.code == "bad_pattern"
    with pytest.raises(ValueError):
        levels_from("loud")


@given(logs(), st.integers(-1, 30))
@settings(deadline=None, max_examples=200)
def test_a_moment_is_found(lines: list[str], second: int) -> None:
    moment = START + timedelta(seconds=second)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(times, "_LOOKED_THROUGH", 64):
        file = Path(folder) / "a.log"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        log = LogFile(file)
        begun = [
            line
            for line in log.line_range(0, log.known)
            if (time := times.line_time(line)) is not None and time >= moment
        ]
        timed = any(line.startswith("2026") for line in lines)
        expected = begun[0].offset if begun else log.size
        assert offset_at(log, moment) == (expected if timed else 0)
        found = line_at(LogSeries(file), moment)
        if timed:
            assert (found.offset if found is not None else log.size) == expected
        series = LogSeries(file)
        told = Told()
        view = FilteredView(series, Filter(since=moment), on_change=told)
        told.until(lambda: view.complete)
        if timed:
            assert view.count == len(LineFilter(Filter(since=moment)).feed(_timed(lines)))


def _timed(lines: list[str]) -> list[str]:
    """Without the lines before the first that tells a time: nobody knows when they were."""
    first = next(number for number, line in enumerate(lines) if line.startswith("2026"))
    return lines[first:]


def test_a_logger_is_named_by_any_of_its_parts() -> None:
    wanted = Filter(sources=frozenset({"server"}))
    assert wanted.fits(Parsed(source="petals.server.run:12"), "seeder")
    assert wanted.fits(Parsed(source="server"), "seeder")
    assert wanted.fits(Parsed(), "server")
    assert not wanted.fits(Parsed(source="petals.observer"), "seeder")
