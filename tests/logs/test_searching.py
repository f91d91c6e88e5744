"""Searching by bytes, against looking at every line."""

from __future__ import annotations

import re
import tempfile
import threading
import warnings
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs import literals, query, scanning
from torbiz_tui.logs.filtered_view import FilteredView
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.required_texts import required_texts
from torbiz_tui.logs.searching import Search
from torbiz_tui.logs.views import WholeView

LINES = st.lists(
    st.lists(
        st.sampled_from(["a", "B", "b", "é", "É", "ab", ".", " ", "\r", "\x00", "needle", "x" * 30])
    ).map("".join),
    max_size=25,
)
TEXTS = st.sampled_from(["a", "B", "ab", "é", "É", "needle", "Needle", "b.", "éab", "aa", "xxx"])
PATTERNS = st.sampled_from(
    ["a.b", "^a", "b$", "a|b", r"\bab", "[^a]b", "need+le", r"\.", "é?ab", "(?:ab)+", r"\s", "x{3}"]
)


def wanted(lines: list[str], pattern: str) -> list[int]:
    """The plain reference: smart case, line by line."""
    flags = 0 if re.search("[A-ZÉ]", re.sub(r"\\.", "", pattern)) else re.IGNORECASE
    return [
        number
        for number, line in enumerate(lines)
        if re.search(pattern, line.removesuffix("\r"), flags)
    ]


def check(lines: list[str], text: str, *, regex: bool, final_newline: bool) -> None:
    expected = wanted(lines, text if regex else re.escape(text))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.log"
        end = "\n" if lines and (final_newline or not lines[-1]) else ""
        file.write_text("\n".join(lines) + end, encoding="utf-8", newline="")
        view = WholeView(LogSeries(file))
        search = Search(view, Query(text, regex=regex))
        down, up = [], []
        found = None
        while (found := search.find(found, 1)) is not None:
            down.append(found.number)
        while (found := search.find(found, -1)) is not None:
            up.append(found.number)
        assert down == expected
        assert up == expected[::-1]


@given(LINES, TEXTS, st.booleans(), st.sampled_from([0, 80]))
@settings(deadline=None, max_examples=300)
@example(["É"], "é", True, 80)
def test_texts(lines: list[str], text: str, final_newline: bool, often: int) -> None:
    """By their rarest byte, and where none is rare."""
    with mock.patch.object(scanning, "_PIECE", 16), mock.patch.object(literals, "_OFTEN", often):
        check(lines, text, regex=False, final_newline=final_newline)


@given(LINES, PATTERNS, st.booleans())
@settings(deadline=None, max_examples=300)
def test_patterns(lines: list[str], pattern: str, final_newline: bool) -> None:
    """They see one line at a time, also where they could match a line's end."""
    check(lines, pattern, regex=True, final_newline=final_newline)


@given(
    st.from_regex(r"[ab.|*+?()\[\]^$\\{}1,x:-]{1,12}", fullmatch=True),
    st.text("abx1:-", max_size=12),
)
def test_what_a_pattern_requires_is_in_all_it_matches(pattern: str, text: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            found = re.search(pattern, text)
    except re.error:
        return
    if found is not None:
        assert all(one in text for one in required_texts(pattern))


def test_what_is_required_is_found() -> None:
    assert required_texts(r"block (\d+):(\d+) failed") == ["block ", ":", " failed"]
    assert required_texts(r"petals\.server.*timeout") == ["petals.server", "timeout"]
    for pattern in ("a|b", "(?i)a", "[abc]*", "a?"):
        assert required_texts(pattern) == []


def test_a_pattern_that_is_none_is_told() -> None:
    with pytest.raises(TorbizError, match="no regular expression") as caught:
        Query("(", regex=True)
    assert caught.value.code == "bad_pattern"
    assert Query("(").spans("a (") == [(2, 3)]


@pytest.mark.parametrize("pattern", [r"(a|aa)+$", r"(a|aa)+\d"])
def test_an_expression_that_takes_for_ever_is_given_up_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr(query, "_LINE_S", 0.02)
    monkeypatch.setattr(query, "_PIECE_S", 0.02)
    monkeypatch.setattr(query, "_DRAWN_S", 0.02)
    file = tmp_path / "a.log"
    line = "a" * 80 + "b 1"
    file.write_text(f"found aa1\n{line}\n")
    told = threading.Semaphore(0)
    series = LogSeries(file)
    search = Search(WholeView(series), Query(pattern, regex=True), told.release)
    assert search.find(None, -1) is None
    assert search.problem is not None
    assert pattern in search.problem.what.replace("\\\\", "\\")
    search.problem = None
    search.start_count()
    while search.problem is None:
        assert told.acquire(timeout=30)
    assert Query(pattern, regex=True).spans(line) == []
    view = FilteredView(series, Filter(text=pattern, regex=True), on_change=told.release)
    while not view.complete:
        assert told.acquire(timeout=30)
    assert view.problem is not None
    assert view.problem.code == "slow_pattern"
    view.close()
    series.close()


def test_a_text_far_down_a_long_line_is_found_once(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"first\n" + b"x" * 300_000 + b"needle" + b"y" * 300_000 + b"needle\nlast")
    search = Search(WholeView(LogSeries(file)), Query("needle"))
    found = search.find(None, 1)
    assert found is not None
    assert (found.offset, found.length) == (6, 600_012)
    assert search.find(found, 1) is None
    assert search.find(None, -1) == found


def test_matches_are_counted_and_ranked_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"needle 1\nno\nneedle 2\nneedle thr")
    view = WholeView(LogSeries(file))
    told = threading.Semaphore(0)
    search = Search(view, Query("needle"), told.release)
    search.start_count()
    while not search.complete:
        assert told.acquire(timeout=30)
    assert search.matches == 2
    second = view.lines(2, 1)[0]
    assert search.rank(second) == 2
    assert search.rank(view.lines(1, 1)[0]) is None
    with file.open("ab") as stream:
        stream.write(b"ee\nneedle 4\n")
    view.look()
    search.look()
    while search.matches < 4:
        assert told.acquire(timeout=30)
    assert search.rank(view.lines(4, 1)[0]) == 4
    file.rename(tmp_path / "a.log.1")
    file.write_bytes(b"needle 5\n")
    view.look()
    search.look()
    while search.matches < 5:
        assert told.acquire(timeout=30)
    search.close()


def test_a_search_can_be_stopped(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"no\n" * 200_000)
    stop = threading.Event()
    stop.set()
    search = Search(WholeView(LogSeries(file)), Query("needle"))
    assert search.find(None, -1, stop) is None
