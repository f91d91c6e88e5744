"""Lines that stand in no file, and what is left of a view that was cleared."""

from __future__ import annotations

from pathlib import Path

from tests.logs.told import shown
from torbiz_tui.logs.cleared_view import ClearedView
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.memory_view import MemoryView
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.searching import Search
from torbiz_tui.logs.views import WholeView


def test_lines_are_added_and_looked_at() -> None:
    view = MemoryView()
    assert not view.look()
    view.append(["one", "zwei é"])
    assert view.look()
    assert not view.look()
    assert [line.data for line in view.lines(0, 5)] == [b"one", "zwei é".encode()]
    assert view.lines(2, 1) == []
    assert view.complete


def test_it_is_bounded_and_a_line_stays_what_it_is() -> None:
    view = MemoryView(100)
    view.append(str(number) for number in range(100))
    kept, gone = view.lines(60, 1)[0], view.lines(3, 1)[0]
    version = view.version
    view.append(str(number) for number in range(100, 150))
    assert view.count <= 100
    assert view.version != version
    assert view.lines(view.index_of(kept), 1) == [kept]
    assert shown(view)[-1] == "149"
    # The first line after one that is gone.
    assert view.index_of(gone) == 0


def test_clearing_forgets_and_what_comes_is_new() -> None:
    view = MemoryView()
    view.append(["old"])
    old = view.lines(0, 1)[0]
    view.clear()
    assert view.look()
    assert view.count == 0
    view.append(["new"])
    new = view.lines(0, 1)[0]
    assert new.data == b"new"
    assert new.place != old.place


def test_text_that_is_none_is_kept_as_far_as_it_goes() -> None:
    view = MemoryView()
    view.append(["a\ud800b"])
    assert view.lines(0, 1)[0].data == b"a?b"


def test_it_can_be_searched() -> None:
    view = MemoryView()
    view.append(f"entry {number}" for number in range(1000))
    search = Search(view, Query("entry 77"))
    found = search.find(None, -1)
    assert found is not None
    assert found.data == b"entry 779"


def test_a_cleared_view_has_what_comes_after_a_line(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text("one\ntwo\n")
    series = LogSeries(file)
    whole = WholeView(series)
    cleared = ClearedView(whole, whole.lines(1, 1)[0])
    assert cleared.count == 0
    assert cleared.lines(0, 1) == []
    with file.open("a") as log:
        log.write("three\nfour\n")
    assert cleared.look()
    assert shown(cleared) == ["three", "four"]
    four = cleared.lines(1, 1)[0]
    assert cleared.index_of(four) == 1
    assert cleared.index_of(whole.lines(0, 1)[0]) == 0
    assert cleared.lines(-1, 3)[0].data == b"three"
    series.close()


def test_a_cleared_view_outlives_that_its_line_goes(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text("one\ntwo\n")
    series = LogSeries(file)
    whole = WholeView(series)
    cleared = ClearedView(whole, whole.lines(1, 1)[0])
    file.write_text("")
    cleared.look()
    file.write_text("anew\n")
    cleared.look()
    assert shown(cleared) == ["anew"]
    series.close()


def test_a_line_that_was_cut_is_there_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_bytes(b"x" * 100_000 + b"\n")
    series = LogSeries(file)
    whole = WholeView(series)
    line = whole.lines(0, 1)[0]
    assert len(line.data) < 100_000
    assert len(whole.whole(line)) == 100_000
    assert len(whole.whole(line, 80_000)) == 80_000
    series.close()
