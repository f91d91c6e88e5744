"""Several logs as one: by time, and what each of them says in its own order."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs.told import Told, shown
from torbiz_tui.logs import record_reader
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.merged_view import MergedView
from torbiz_tui.logs.merging import LineMerger

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("a", "b", "c")


def line(second: int, text: str) -> str:
    return f"{START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}Z {text}"


@st.composite
def sources(draw: st.DrawFn) -> list[list[str]]:
    """Three logs that begin with a time; bare lines and indented ones in between."""
    found: list[list[str]] = []
    for name in NAMES:
        lines = [line(0, f"{name} first")]
        second = 0
        for number in range(draw(st.integers(0, 15))):
            second += draw(st.integers(0, 3))
            kind = draw(st.sampled_from(["timed", "timed", "bare", "indented"]))
            text = f"{name}{number}"
            lines.append(
                line(second, text) if kind == "timed" else text if kind == "bare" else f"  {text}"
            )
        found.append(lines)
    return found


def merged(logs: list[list[str]]) -> list[str]:
    """The plain reference."""
    timed: list[tuple[str, int, int, str]] = []
    for index, lines in enumerate(logs):
        last = ""
        for number, text in enumerate(lines):
            last = text[:20] if text.startswith("2026") else last
            timed.append((last, index, number, text))
    return [text for *_, text in sorted(timed)]


@given(sources(), st.integers(1, 400), st.data())
@settings(deadline=None, max_examples=200)
def test_logs_are_merged_by_time(logs: list[list[str]], piece: int, data: st.DataObject) -> None:
    """Backwards in pieces, and then what comes, also if one log lags behind."""
    first = [data.draw(st.integers(1, len(lines))) for lines in logs]
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(record_reader, "_PIECE", piece):
        files = [Path(folder) / f"{name}.log" for name in NAMES]
        for file, lines, count in zip(files, logs, first, strict=True):
            file.write_text("".join(f"{text}\n" for text in lines[:count]), encoding="utf-8")
        series = [LogSeries(file) for file in files]
        told = Told()
        view = MergedView(dict(zip(NAMES, series, strict=True)), on_change=told)
        told.until(lambda: view.complete)
        begun = [lines[:count] for lines, count in zip(logs, first, strict=True)]
        assert shown(view) == merged(begun)
        for file, lines, count in zip(files, logs, first, strict=True):
            with file.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{text}\n" for text in lines[count:])
        view.look()
        told.until(lambda: view.count == sum(map(len, logs)))
        for index, raw in enumerate(view.lines(0, view.count)):
            assert view.index_of(raw) == index
            assert view.names[raw.source] in raw.data.decode()
        for name, lines in zip(NAMES, logs, strict=True):
            mine = [text for text in shown(view) if name in text]
            assert mine == lines
        view.close()


def test_late_lines_are_put_where_they_belong(tmp_path: Path) -> None:
    series = {}
    for name in "ab":
        (tmp_path / f"{name}.log").write_text(f"{line(0, name)}\n", encoding="utf-8")
        series[name] = LogSeries(tmp_path / f"{name}.log")
    told = Told()
    view = MergedView(series, on_change=told)
    told.until(lambda: view.complete)
    for count, (name, second) in enumerate((("a", 5), ("b", 3), ("a", 7), ("b", 6)), 3):
        with (tmp_path / f"{name}.log").open("a", encoding="utf-8") as stream:
            stream.write(f"{line(second, f'{name}{second}')}\n")
        view.look()
        told.until(partial(lambda count: view.count == count, count))
    assert [text.split()[-1] for text in shown(view)] == ["a", "b", "b3", "a5", "b6", "a7"]
    view.close()


def test_a_filter_and_a_limit(tmp_path: Path) -> None:
    series = {}
    for name in "ab":
        lines = [line(number, f"{name} ERROR" if number % 2 else name) for number in range(20)]
        file = tmp_path / f"{name}.log"
        file.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
        series[name] = LogSeries(file)
    told = Told()
    view = MergedView(series, Filter("ERROR", sources=frozenset({"b"})), on_change=told)
    told.until(lambda: view.complete)
    assert shown(view) == [line(number, "b ERROR") for number in range(1, 20, 2)]
    assert not view.cut
    short = MergedView(series, limit=6, on_change=told)
    told.until(lambda: short.complete)
    assert short.cut
    assert [text.split()[1] for text in shown(short)] == ["a", "b", "a", "b", "a", "b"]
    view.close()
    short.close()


@given(sources(), st.data())
def test_lines_as_they_come(logs: list[list[str]], data: st.DataObject) -> None:
    """Those that come within the time that they are held for are in order."""
    merger = LineMerger(NAMES, hold_s=1.0)
    left = [list(lines) for lines in logs]
    now = 0.0
    while any(left):
        index = data.draw(st.sampled_from([at for at, lines in enumerate(left) if lines]))
        merger.add(NAMES[index], [left[index].pop(0)], now=now)
        now += 0.001
    assert merger.ready(now=0.9) == []
    assert [text for _, text in merger.ready(now=1.0 + now)] == merged(logs)
    assert merger.ready(everything=True) == []


def test_what_was_held_too_long_does_not_wait_for_others() -> None:
    merger = LineMerger(["a", "b"], hold_s=1.0)
    merger.add("a", [line(5, "a5")], now=0.0)
    merger.add("b", [line(3, "b3"), line(9, "b9")], now=0.5)
    # b3 is earlier than what is due.
    assert merger.ready(now=1.1) == [("b", line(3, "b3")), ("a", line(5, "a5"))]
    assert merger.ready(everything=True, now=1.1) == [("b", line(9, "b9"))]
