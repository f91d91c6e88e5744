"""Which rows are in view: exact by rows, and never more work than a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.memory_view import MemoryView
from torbiz_tui.widgets.log_layout import LogLayout, Row

LINES = st.lists(st.text("ab é日\t", max_size=40), min_size=1, max_size=30)


class Endless(MemoryView):
    """Ten million lines, and how many of them were asked for."""

    asked = 0

    @property
    def count(self) -> int:
        return 10_000_000

    def lines(self, first: int, count: int) -> list[RawLine]:
        found = range(max(0, first), min(first + count, self.count))
        self.asked += len(found)
        return [
            RawLine(None, number, b"x" * (number % 300), number % 300, True, 1) for number in found
        ]

    def index_of(self, line: RawLine) -> int:
        return line.offset


def texts(page: list[Row], width: int) -> list[tuple[int, int, str]]:
    return [(row.at, row.part, row.shown.piece(width, row.part)[1]) for row in page]


def layout_of(lines: list[str], width: int, height: int) -> LogLayout:
    view = MemoryView()
    view.append(lines)
    layout = LogLayout()
    layout.resize(width, height, wrapped=True)
    layout.show(view)
    return layout


@given(LINES, st.integers(2, 12), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_row_by_row_down_and_up_shows_every_row_once(
    lines: list[str], width: int, height: int
) -> None:
    layout = layout_of(lines, width, height)
    every = [
        (at, part, row.piece(width, part)[1])
        for at, line in enumerate(layout.view.lines(0, len(lines)) if layout.view else [])
        for row in [layout.lines.get(line)]
        for part in range(row.rows(width))
    ]
    last = max(0, len(every) - height)
    assert texts(layout.page(), width) == every[last:]
    assert layout.at_end
    for first in range(last, -1, -1):
        assert texts(layout.page(), width) == every[first : first + height]
        layout.following = False
        layout.move(-1)
    for first in range(last + 1):
        assert texts(layout.page(), width) == every[first : first + height]
        layout.move(1)
    assert layout.at_end
    layout.move(5)
    assert texts(layout.page(), width) == every[last:]


@given(LINES, st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_another_width_keeps_the_first_character_in_the_first_row(
    lines: list[str], width: int, other: int, height: int, down: int
) -> None:
    layout = layout_of(lines, width, height)
    layout.following = False
    layout.to(0)
    layout.move(down)
    first = layout.page()[0]
    character = first.shown.piece(width, first.part)[0]
    layout.resize(other, height, wrapped=True)
    page = layout.page()
    starts = [(row.at, row.shown.piece(other, row.part)[0]) for row in page]
    if layout.at_end:
        # There is no more below: the row may stand further down.
        assert starts[0] <= (first.at, character)
    else:
        assert starts[0][0] == first.at
        assert starts[0][1] <= character < starts[0][1] + max(1, other)


def test_nothing_costs_more_than_pages() -> None:
    view = Endless()
    layout = LogLayout()
    layout.resize(80, 40, wrapped=True)
    layout.show(view)
    for wrapped in (True, False):
        acts: tuple[Callable[[], object], ...] = (
            lambda: layout.to(0),
            lambda: layout.move(39),
            lambda: layout.move(-1),
            lambda: layout.to(5_000_000),
            layout.to_end,
            layout.look,
            partial(layout.resize, 60, 40, wrapped=wrapped),
        )
        for act in acts:
            view.asked = 0
            act()
            layout.page()
            assert view.asked <= 500
