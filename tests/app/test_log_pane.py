"""The pane that shows logs: it follows, stays, searches, and takes lines along."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.logs.decoding import shown_line
from torbiz_tui.logs.filtered_view import FilteredView
from torbiz_tui.logs.filtering import Filter
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.memory_view import MemoryView
from torbiz_tui.logs.merged_view import MergedView
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.views import LineView, WholeView
from torbiz_tui.troubleshooting.matching import match
from torbiz_tui.widgets.log_pane import LogPane


class PaneApp(App[None]):
    """A pane alone."""

    def __init__(self) -> None:
        super().__init__()
        self.explained: list[tuple[str, str]] = []
        self.changes = 0

    def compose(self) -> ComposeResult:
        yield LogPane()

    def on_log_pane_explain(self, event: LogPane.Explain) -> None:
        self.explained.append((event.line, event.symptom.id))

    def on_log_view_changed(self) -> None:
        self.changes += 1


@asynccontextmanager
async def running(
    view: LineView | None = None, size: tuple[int, int] = (60, 10)
) -> AsyncIterator[tuple[Pilot[None], LogPane]]:
    app = PaneApp()
    async with app.run_test(size=size) as pilot:
        pane = app.query_one(LogPane)
        pane.focus()
        pane.show(view)
        await pilot.pause()
        yield pilot, pane


def entries(first: int, last: int) -> str:
    return "".join(f"[INFO] entry {number}.\n" for number in range(first, last))


def log_of(tmp_path: Path, text: str | bytes) -> tuple[Path, LogSeries]:
    file = tmp_path / "app.log"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file, LogSeries(file)


def append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.write(text)


async def until_looked(
    pilot: Pilot[None], pane: LogPane, condition: Callable[[], object], what: str
) -> None:
    """Look at the view until the condition holds."""

    def holds() -> object:
        pane.look()
        return condition()

    await until(pilot, holds, what)


def rows(pilot: Pilot[None]) -> list[str]:
    """The rows without the scrollbar."""
    return [row[:-1].rstrip() for row in screen_text(pilot.app).split("\n")]


def colours(pane: LogPane, y: int) -> set[str]:
    """The colours of the words in a row."""
    return {
        str(segment.style.color)
        for segment in pane.render_line(y)
        if segment.text.strip() and segment.style
    }


# Where it stands


async def test_it_follows_while_it_is_at_the_end(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 50))
    async with running(WholeView(series)) as (pilot, pane):
        await until_shown(pilot, "entry 49.")
        assert pane.following
        append(file, entries(50, 53))
        pane.look()
        await until_shown(pilot, "entry 52.")
        assert (pane.line_count, pane.new_lines) == (53, 0)


async def test_who_has_scrolled_up_stays_and_is_told_what_came(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 50))
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("k", "k")
        before = rows(pilot)
        append(file, entries(50, 53))
        pane.look()
        await until(pilot, lambda: pane.new_lines == 3, "three new lines")
        assert rows(pilot)[:9] == before[:9]
        assert not pane.following
        await pilot.press("G")
        await until_shown(pilot, "entry 52.")
        assert (pane.following, pane.new_lines) == (True, 0)


@pytest.mark.parametrize("key", ["G", "down"])
async def test_who_goes_to_the_end_sees_at_once_what_came_meanwhile(
    tmp_path: Path, key: str
) -> None:
    file, series = log_of(tmp_path, entries(0, 50))
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("k")
        append(file, entries(50, 53))
        # Nobody has told of it, or it is not yet time to tell.
        await pilot.press(key)
        assert (pane.line_count, pane.new_lines, pane.following) == (53, 0, True)
        await until_shown(pilot, "entry 52.")


async def test_an_unfinished_line_that_goes_on_is_no_new_line(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 50) + "begun")
    async with running(WholeView(series)) as (pilot, pane):
        await until_shown(pilot, "begun")
        append(file, " and ended\n")
        pane.look()
        await until_shown(pilot, "begun and ended")
        await pilot.press("k")
        append(file, "more\n")
        pane.look()
        await until(pilot, lambda: pane.new_lines == 1, "one new line")


async def test_the_first_line_stays_when_older_ones_become_known(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, "x" * 2_000_000 + "\n" + entries(0, 5000))
    view = WholeView(series, tail_bytes=4096)
    async with running(view) as (pilot, pane):
        await pilot.press("pageup", "pageup")
        before, known = rows(pilot), pane.line_count
        assert known < 1000
        series.start_index()
        await until_looked(pilot, pane, lambda: pane.line_count == 5001, "all counted")
        assert rows(pilot) == before
        assert not pane.following


async def test_the_first_line_stays_while_a_filter_is_at_work(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, entries(0, 60_000))
    view = FilteredView(series, Filter(text="7."))
    async with running(view) as (pilot, pane):
        await until_looked(pilot, pane, lambda: pane.line_count > 20, "some are found")
        await until_shown(pilot, "entry 59997.")
        await pilot.press("k", "k", "k")
        before = rows(pilot)
        await until_looked(pilot, pane, lambda: view.complete, "complete")
        pane.look()
        await until(pilot, lambda: pane.line_count == 6000, "all found")
        assert rows(pilot) == before
        view.close()


async def test_the_first_line_is_gone_to_as_soon_as_it_is_known(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, "x" * 2_000_000 + "\n" + entries(0, 5000))
    async with running(WholeView(series, tail_bytes=4096)) as (pilot, pane):
        await pilot.press("g")
        assert "xxxx" not in screen_text(pilot.app)
        series.start_index()
        await until_looked(pilot, pane, lambda: pane.line_count == 5001, "all counted")
        await until_shown(pilot, "xxxx")


async def test_it_stays_where_it_is_when_the_log_is_rotated(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 50))
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("k", "k")
        before = rows(pilot)
        file.rename(tmp_path / "app.log.1")
        file.write_text(entries(50, 60))
        pane.look()
        await until(pilot, lambda: pane.new_lines == 10, "ten new lines")
        assert rows(pilot) == before
        await pilot.press("G")
        await until_shown(pilot, "entry 59.", "entry 51.")


async def test_an_emptied_log_is_empty_and_goes_on(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 50))
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("k", "k")
        file.write_text("")
        pane.look()
        await until_shown(pilot, "Nothing logged yet.")
        append(file, "anew\n")
        pane.look()
        await until_shown(pilot, "anew")


async def test_another_size_and_wrapping_keep_the_first_line(tmp_path: Path) -> None:
    text = "".join(f"{n} {'long ' * 30}end{n}\n" for n in range(50))
    _, series = log_of(tmp_path, text)
    async with running(WholeView(series), (60, 10)) as (pilot, pane):
        await pilot.press("g", *("j" * 9))
        first = pane.first_line
        assert first is not None
        assert first.number == 3
        await pilot.resize_terminal(40, 14)
        assert pane.first_line == first
        await pilot.press("w")
        assert pane.first_line == first
        assert rows(pilot)[1].startswith("  4 long") or rows(pilot)[1].startswith(" 4 long")
        await pilot.press("w")
        assert pane.first_line == first
        assert not pane.following


async def test_lines_that_are_not_broken_are_scrolled_sideways(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, f"begin {'日' * 100} end-of-line\n")
    async with running(WholeView(series)) as (pilot, _):
        await until_shown(pilot, "begin", "end-of-line")
        await pilot.press("w")
        await until_gone(pilot, "end-of-line")
        await pilot.press(*("l" * 8))
        await until_shown(pilot, "end-of-line")
        await pilot.press(*("h" * 8))
        await until_shown(pilot, "begin")


async def test_the_wheel_scrolls_rows_and_the_scrollbar_lines(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, "".join(f"{n} {'x' * 300}\n" for n in range(100)))
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("g")
        await pilot._post_mouse_events([_wheel_down()], widget=pane)
        assert pane.position()[1] > 0
        pane.scroll_to(y=50, animate=False, immediate=True)
        await until_shown(pilot, "50 xxx")
        assert not pane.following
        pane.scroll_to(y=pane.max_scroll_y, animate=False, immediate=True)
        assert pane.following


def _wheel_down() -> type:
    from textual.events import MouseScrollDown

    return MouseScrollDown


async def test_a_line_of_megabytes_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, b"first\n" + b"y" * 10_000_000 + b"\nlast\n")
    async with running(WholeView(series)) as (pilot, pane):
        await until_shown(pilot, "more bytes)", "last")
        await pilot.press("g")
        series.start_index()
        await until_looked(pilot, pane, lambda: pane.line_count == 3, "counted")
        await until_shown(pilot, "first", "yyyy")


async def test_what_is_hostile_or_secret_is_not_shown(tmp_path: Path) -> None:
    _, series = log_of(
        tmp_path, "a\x1b]0;title\x07 [red]r[/red] \x9b31m \u202e hf_abcdefghijklmnop\n"
    )
    async with running(WholeView(series), (100, 10)) as (pilot, pane):
        await until_shown(pilot, "[red]r[/red]", "[redacted]")
        shown = screen_text(pilot.app)
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
        assert "hf_abc" not in pane.copied_text()


async def test_many_looks_are_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, series = log_of(tmp_path, entries(0, 50))
    async with running(WholeView(series)) as (pilot, pane):
        frames = 0
        take_in = pane._take_in

        def counted() -> None:
            nonlocal frames
            frames += 1
            take_in()

        monkeypatch.setattr(pane, "_take_in", counted)
        for number in range(50, 1050):
            append(file, entries(number, number + 1))
            pane.look()
        await until_shown(pilot, "entry 1049.")
        assert frames < 200


# What is marked in it


async def test_a_traceback_has_the_colour_of_its_line() -> None:
    view = MemoryView()
    view.append(
        [
            "Nov 24 02:56:44.102 [INFO] [petals:1] fine",
            "Nov 24 02:56:44.102 [ERROR] [petals:1] broken",
            "Traceback (most recent call last):",
            '  File "a.py", line 1, in run',
            "ValueError: no",
            "Nov 24 02:56:44.102 [WARN] [petals:1] hm",
            "  goes on",
        ]
    )
    async with running(view) as (_, pane):
        fine, broken, warned = colours(pane, 0), colours(pane, 1), colours(pane, 5)
        assert len(broken) == len(warned) == 1
        assert colours(pane, 2) == colours(pane, 3) == colours(pane, 4) == broken
        assert colours(pane, 6) == warned
        assert broken != warned
        assert not (broken | warned) & fine


async def test_levels_are_told_apart_where_there_are_16_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", "standard")
    view = MemoryView()
    view.append(["[INFO] fine", "[WARN] hm", "[ERROR] broken", "[DEBUG] deep"])
    async with running(view) as (pilot, pane):
        assert pilot.app.console.color_system == "standard"
        codes = []
        for y in range(4):
            segment = next(one for one in pane.render_line(y) if one.text.strip())
            assert segment.style is not None
            assert segment.style.color is not None
            codes.append(segment.style.color.downgrade(ColorSystem.STANDARD).number)
        grey, bright_yellow, bright_red = (0, 7, 8, 15), 11, 9
        assert codes[0] in grey
        assert codes[1:3] == [bright_yellow, bright_red]
        assert codes[3] in grey


async def test_a_traceback_keeps_its_colour_when_its_line_is_out_of_view() -> None:
    view = MemoryView()
    view.append(["[ERROR] broken", "Traceback (most recent call last):"])
    view.append(f'  File "a.py", line {number}, in run' for number in range(60))
    view.append(["ValueError: no", "[INFO] fine"])
    async with running(view) as (_, pane):
        error = colours(pane, 0)
        assert colours(pane, 8) == error
        assert colours(pane, 9) != error


async def test_known_symptoms_are_marked_and_explained() -> None:
    view = MemoryView()
    line = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"
    view.append(["before", line, "after"])
    app = PaneApp()
    async with app.run_test(size=(100, 10)) as pilot:
        pane = app.query_one(LogPane)
        pane.explain = match
        pane.show(view)
        pane.focus()
        await until_shown(pilot, "!torch.cuda", "  before")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.explained) == 1, "explained by the key")
        await pilot.click(LogPane, offset=(1, 1))
        await until(pilot, lambda: len(app.explained) == 2, "explained by the mouse")
        assert app.explained[0] == app.explained[1]
        assert app.explained[0][0] == line
        await pilot.click(LogPane, offset=(1, 0))
        assert len(app.explained) == 2


async def test_sources_are_named_before_the_lines_of_several_logs(tmp_path: Path) -> None:
    for name in ("a", "bee"):
        stamp = "2026-11-24 02:56:44,102 [INFO] "
        (tmp_path / f"{name}.log").write_text(f"{stamp}of {name}\n")
    view = MergedView({name: LogSeries(tmp_path / f"{name}.log") for name in ("a", "bee")})
    app = PaneApp()
    async with app.run_test(size=(80, 10)) as pilot:
        pane = app.query_one(LogPane)
        pane.labels = lambda line: view.names[line.source]
        pane.show(view)
        await until_looked(pilot, pane, lambda: view.complete, "merged")
        await until_shown(pilot, " a   2026-11-24", " bee 2026-11-24")
        pane.focus()
        assert "bee 2026" not in pane.copied_text()
        view.close()


# Search


async def test_search_goes_up_from_the_end_and_around(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, entries(0, 300))
    async with running(WholeView(series)) as (pilot, pane):
        pane.search(Query("Y 17"))
        await until(pilot, lambda: pane.match_text == "not found", "capitals matter")
        pane.search(Query("y 17"))
        await until(pilot, lambda: pane.match_text == "11 of 11 lines", "the last one")
        await until_shown(pilot, "entry 179.")
        assert not pane.following
        pane.find(-1)
        await until(pilot, lambda: pane.match_text == "10 of 11 lines", "one above")
        pane.find(1)
        await until(pilot, lambda: pane.match_text == "11 of 11 lines", "one below")
        pane.find(1)
        await until(pilot, lambda: pane.match_text == "1 of 11 lines", "around the end")
        await until_shown(pilot, "entry 17.")
        pane.search(Query(r"entry \d\.", regex=True))
        await until(pilot, lambda: pane.match_text.endswith("of 10 lines"), "by expression")
        pane.search(None)
        assert pane.match_text == ""


async def test_matches_are_marked_and_counted_as_they_come(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 5))
    async with running(WholeView(series)) as (pilot, pane):
        pane.search(Query("entry 3"))
        await until(pilot, lambda: pane.match_text == "1 of 1 lines", "found")
        marked = [s.text for s in pane.render_line(3) if s.style and s.style.underline]
        current = [s.text for s in pane.render_line(3) if s.style and s.style.reverse]
        assert current == ["entry 3"]
        assert not marked
        append(file, "entry 3 again\n")
        pane.look()
        await until(pilot, lambda: pane.match_text == "1 of 2 lines", "counted")
        await until_shown(pilot, "again")
        assert "entry 3" in [s.text for s in pane.render_line(5) if s.style and s.style.underline]


async def test_a_search_can_be_ended_and_is_typed_letter_by_letter(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, entries(0, 300_000))
    series.start_index()
    async with running(WholeView(series)) as (pilot, pane):
        for length in range(1, 12):
            pane.search(Query("entry 1234."[:length]))
        await until_looked(
            pilot, pane, lambda: pane.match_text == "1 of 1 lines", "only the last one counts"
        )
        await until_looked(pilot, pane, lambda: pane.line_count == 300_000, "all counted")
        await until_shown(pilot, "entry 1234.")
        pane.search(Query(r"(e|n).*9\.$", regex=True))
        assert pane.search_running
        pane.cancel_search()
        assert not pane.search_running
        assert pane.match_text.startswith("stopped")


async def test_a_match_is_gone_to_once_its_place_is_known(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, "needle\n" + "x" * 2_000_000 + "\n" + entries(0, 5000))
    async with running(WholeView(series, tail_bytes=4096)) as (pilot, pane):
        pane.search(Query("needle"))
        await until(pilot, lambda: pane.match_text == "1 of 1 lines", "found")
        series.start_index()
        await until_looked(pilot, pane, lambda: pane.line_count == 5002, "all counted")
        await until_shown(pilot, "needle")


# Taking lines along


async def test_marks_are_set_and_gone_to(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, entries(0, 300))
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("m", "g", "J", "J", "m")
        await until_shown(pilot, "◆[INFO] entry 1.")
        await pilot.press("u")
        await until_shown(pilot, "◆[INFO] entry 299.")
        await pilot.press("u")
        await until_shown(pilot, "◆[INFO] entry 1.")
        await pilot.press("U")
        await until_shown(pilot, "◆[INFO] entry 299.")
        await pilot.press("m")
        await until_gone(pilot, "◆")
        await pilot.press("u")
        assert pane.cursor_line is not None
        assert shown_line(pane.cursor_line.data) == "[INFO] entry 1."


async def test_selected_lines_are_copied_as_they_stand_in_the_log(tmp_path: Path) -> None:
    long = "z" * 200
    _, series = log_of(tmp_path, f"one\ta\n{long}\nHF_TOKEN=hf_abcdefghijkl\nlast\n")
    async with running(WholeView(series)) as (pilot, pane):
        await pilot.press("g", "J", "v", "j", "j")
        assert pane.copied_text() == f"one\ta\n{long}\nHF_TOKEN=[redacted]"
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard.startswith("one\ta\nzzz"), "copied")
        assert pane.copied_text() != pilot.app.clipboard
        await pilot.press("v", "escape")
        assert len(pane.copied_text().split("\n")) == 1


async def test_a_selection_may_be_larger_than_the_view_and_than_a_clipboard(
    tmp_path: Path,
) -> None:
    _, series = log_of(tmp_path, entries(0, 20_000))
    async with running(WholeView(series), (100, 24)) as (pilot, pane):
        await pilot.press("g", "J", "v", "G", "k")
        copied = pane.copied_text().split("\n")
        assert len(copied) == 10_000
        assert (copied[0], copied[-1]) == ("[INFO] entry 0.", "[INFO] entry 9999.")
        await until_shown(pilot, "▌[INFO] entry 19998.", "│[INFO] entry 19997.")
        await pilot.press("y")
        await until(
            pilot,
            lambda: any(
                one.title.startswith("10,000 lines; 9,999 more") for one in pilot.app._notifications
            ),
            "said that there are more",
        )


async def test_what_the_mouse_chose_is_copied_without_its_breaks(tmp_path: Path) -> None:
    long = "".join(f"{number:>4}" for number in range(40))
    file, series = log_of(tmp_path, f"one\n{long}\nthree\n")
    async with running(WholeView(series), (60, 10)) as (pilot, pane):
        await pilot.mouse_down(LogPane, offset=(2, 0))
        await pilot.hover(LogPane, offset=(3, 4))
        await pilot.mouse_up(LogPane, offset=(3, 4))
        assert pane.copied_text().startswith(f"ne\n{long}\nt")
        assert not pane.following
        append(file, "four\n")
        pane.look()
        await until(pilot, lambda: pane.new_lines == 1, "told, not followed")


async def test_clearing_shows_what_comes_and_can_be_undone(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 3))
    async with running(WholeView(series)) as (pilot, pane):
        await until_shown(pilot, "entry 2.")
        await pilot.press("c")
        await until_shown(pilot, "Nothing logged yet.")
        append(file, entries(3, 4))
        pane.look()
        await until_shown(pilot, "entry 3.")
        assert (pane.line_count, pane.cleared, pane.following) == (1, True, True)
        await pilot.press("C")
        await until_shown(pilot, "entry 0.", "entry 3.")
        assert not pane.cleared


async def test_a_place_is_kept_over_switches(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 300))
    view = WholeView(series)
    other = MemoryView()
    other.append(["other"])
    async with running(view) as (pilot, pane):
        await pilot.press("g", *("j" * 7), "J", "m")
        before, position = rows(pilot), pane.position()
        pane.show(other)
        await until_shown(pilot, "other")
        append(file, entries(300, 305))
        pane.show(view)
        pane.restore(position)
        await until_looked(pilot, pane, lambda: pane.new_lines == 5, "five new lines")
        assert rows(pilot) == before
        await pilot.press("c")
        cleared = pane.position()
        pane.show(other)
        pane.show(view)
        pane.restore(cleared)
        assert (pane.line_count, pane.cleared) == (0, True)


async def test_a_filter_stays_near_the_line_it_was_turned_on_at(tmp_path: Path) -> None:
    _, series = log_of(tmp_path, entries(0, 3000))
    whole, filtered = WholeView(series), FilteredView(series, Filter(text="5."))
    async with running(whole) as (pilot, pane):
        pane.go_to(whole.lines(1001, 1)[0])
        position = pane.position()
        pane.show(filtered)
        pane.restore(position)
        await until_looked(pilot, pane, lambda: filtered.complete, "complete")
        pane.look()
        await until(pilot, lambda: pane.line_count == 300, "all found")
        await until_shown(pilot, "entry 1005.")
        filtered.close()


async def test_copying_and_truncating_loses_nothing(tmp_path: Path) -> None:
    file, series = log_of(tmp_path, entries(0, 20))
    async with running(WholeView(series), (60, 30)) as (pilot, pane):
        shutil.copy(file, tmp_path / "app.log.1")
        file.write_text("")
        append(file, entries(20, 25))
        pane.look()
        await until_shown(pilot, "entry 0.", "entry 19.", "entry 20.", "entry 24.")
        assert pane.line_count == 25


@pytest.mark.parametrize("wrapped", [True, False])
async def test_no_way_of_moving_leaves_the_page_half_empty(tmp_path: Path, wrapped: bool) -> None:
    text = "".join(f"{n} {'w' * (n * 37 % 400)}\n" for n in range(120))
    file, series = log_of(tmp_path, text)
    moves = [*"gjbGkw", "space", *"JbKvJvcCumwbG"]
    async with running(WholeView(series), (50, 12)) as (pilot, pane):
        if not wrapped:
            await pilot.press("w")
        for turn, key in enumerate(moves * 2):
            await pilot.press(key)
            if turn % 5 == 0:
                await pilot.resize_terminal(40 + turn, 8 + turn % 7)
                append(file, f"more {turn}\n")
                pane.look()
                await asyncio.sleep(0.06)
            if pane.cleared:
                continue
            shown = [row for row in rows(pilot) if row.strip()]
            assert len(shown) >= pilot.app.size.height - 1
