"""A pane that shows a log of any size: search, marks, and taking lines along."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from textual import events, work
from textual.message import Message

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.cleared_view import ClearedView
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.query import Query
from torbiz_tui.logs.views import LineView
from torbiz_tui.troubleshooting.symptom import Symptom
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.log_choosing import LogChoosing
from torbiz_tui.widgets.log_layout import Row
from torbiz_tui.widgets.log_rows import Span
from torbiz_tui.widgets.log_search import PaneSearch
from torbiz_tui.widgets.log_text import Key, key_of


class Position(NamedTuple):
    """Where a pane stood in a view; good for every view of the same logs."""

    top: RawLine | None
    row: int
    left: float
    following: bool
    seen: RawLine | None
    cursor: RawLine | None
    cleared_after: RawLine | None
    marks: dict[Key, RawLine]


class LogPane(LogChoosing, inherit_bindings=False):
    """A `LineView` with a current line, marks, a search, and a selection."""

    BINDINGS = [*keys.PANE]

    class Explain(Message):
        """What a line means is asked for."""

        def __init__(self, pane: LogPane, line: str, symptom: Symptom) -> None:
            super().__init__()
            self.pane = pane
            self.line = line
            self.symptom = symptom

        @property
        def control(self) -> LogPane:
            """The pane."""
            return self.pane

    class GivenUp(Message):
        """A search was given up."""

        def __init__(self, pane: LogPane, error: TorbizError) -> None:
            super().__init__()
            self.pane = pane
            self.error = error

        @property
        def control(self) -> LogPane:
            """The pane."""
            return self.pane

    def __init__(
        self,
        *,
        empty_text: str = "Nothing logged yet.",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(empty_text=empty_text, id=id)
        self._view: LineView | None = None
        self._cleared_after: RawLine | None = None
        self._search: PaneSearch | None = None
        self._match: RawLine | None = None
        self._given_up: PaneSearch | None = None

    # The view

    @property
    def view(self) -> LineView | None:
        """What is shown."""
        return self._view

    def show(self, view: LineView | None, *, at: RawLine | None = None) -> None:
        """Show another view at a line, or from its end; closing the old one is the caller's."""
        self._view = view
        self._marks.clear()
        self._clear_after(None)
        if at is not None:
            self._go(at, 0)
            self._settle()

    def position(self) -> Position:
        """Where it stands, for coming back."""
        layout = self._layout_of
        return Position(
            layout.top,
            layout.top_row,
            self.scroll_x,
            layout.following,
            self._seen,
            self._cursor,
            self._cleared_after,
            dict(self._marks),
        )

    def restore(self, position: Position) -> None:
        """Go back to where it stood."""
        if position.cleared_after is not None:
            self._clear_after(position.cleared_after)
        self._marks = dict(position.marks)
        self._cursor = position.cursor
        if not position.following and position.top is not None:
            self._go(position.top, position.row)
            self._seen = position.seen
        elif position.following:
            self._follow()
            self._layout_of.to_end()
        self._settle()
        self.scroll_to(x=position.left, animate=False, immediate=True, force=True)

    @property
    def cleared(self) -> bool:
        """Whether only what came since a clearing is shown."""
        return self._cleared_after is not None

    def action_clear(self) -> None:
        """Show only what comes; the file stays."""
        view = self._layout_of.view
        last = view.lines(view.count - 1, 1) if view is not None else []
        if last:
            self._clear_after(last[0])

    def action_unclear(self) -> None:
        """Show again what was cleared."""
        if self.cleared:
            self._clear_after(None)

    def _clear_after(self, line: RawLine | None) -> None:
        """Show only what comes after a line; everything after None."""
        query = self._search.query if self._search is not None else None
        self._end_search()
        self._forget_selection()
        self._cleared_after = line
        self._selected_from = self._cursor = None
        view = self._view
        self.show_view(view if view is None or line is None else ClearedView(view, line))
        self._search_again(query)

    # Moving

    def action_down(self) -> None:
        """One row down; one line while lines are being selected."""
        self._scroll_or_select(1, 1)

    def action_up(self) -> None:
        """One row up; one line while lines are being selected."""
        self._scroll_or_select(-1, -1)

    def action_page(self, direction: int) -> None:
        """One page up or down, with one row in common."""
        rows = direction * max(1, self._layout_of.height - 1)
        self._scroll_or_select(rows, rows)

    def _scroll_or_select(self, rows: int, lines: int) -> None:
        if self._selected_from is not None:
            self.action_current(lines)
        else:
            self.scroll_rows(rows)

    def action_top(self) -> None:
        """To the first line."""
        if self._selected_from is not None:
            self.action_current(-self.line_count)
            return
        view = self._layout_of.view
        self._layout_of.to(0)
        self._moved()
        self._from_first = True
        if view is not None and not view.complete:
            self._hold()
            self._to_first = True

    def action_end(self) -> None:
        """To the end; what comes is followed."""
        if self._selected_from is not None:
            self.action_current(self.line_count)
            return
        self._goal, self._to_first, self._from_first = None, False, False
        self._forget_selection()
        self._follow()
        self._take_in()
        self.refresh()

    def action_sideways(self, direction: int) -> None:
        """Left or right by half a screen, where lines are not broken."""
        step = max(1, self.scrollable_content_region.width // 2)
        self.scroll_to(
            x=self.scroll_x + direction * step, animate=False, immediate=True, force=True
        )

    def action_wrap(self) -> None:
        """Break long lines, or do not; the first line shown stays the first."""
        layout = self._layout_of
        layout.resize(layout.width, layout.height, wrapped=not layout.wrapped)
        self._widest = 0
        self.scroll_to(x=0, animate=False, immediate=True, force=True)
        self._settle()

    # Search

    def search(self, query: Query | None) -> None:
        """Mark what matches and go to the last match above the end of the page; None ends it."""
        self._end_search()
        if query is not None and query.text and self._layout_of.view is not None:
            self._search = PaneSearch(self._layout_of.view, query, self._tell)
            self.find(-1)
        self.refresh()
        self._tell()

    def _search_again(self, query: Query | None) -> None:
        """Mark and count in another view what was looked for."""
        if query is not None and self._layout_of.view is not None:
            self._search = PaneSearch(self._layout_of.view, query, self._tell)
            self._search.count()

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.close()
        self._search = self._match = None

    def find(self, direction: int) -> None:
        """Go to the next line that matches, down or up, around the ends."""
        if self._search is not None and self._layout_of.page():
            found = self._search.find(self._find_from(direction), direction)
            self._show_found(self._search, found)

    def _find_from(self, direction: int) -> RawLine | None:
        """The line beyond which to look: the match if it is in view, else the edge of the page."""
        view, page = self._layout_of.view, self._layout_of.page()
        match = None if self._match is None else key_of(self._match)
        if any(key_of(row.line) == match for row in page):
            return self._match
        beyond = page[-1].at + 1 if direction < 0 else page[0].at - 1
        found = [] if view is None or beyond < 0 else view.lines(beyond, 1)
        return found[0] if found else None

    @work(group="find", exclusive=True, exit_on_error=False)
    async def _show_found(
        self, search: PaneSearch, finding: asyncio.Future[RawLine | None]
    ) -> None:
        found = await finding
        if search is not self._search:
            return
        self._match = found
        if found is not None:
            self.go_to(found)
        self.refresh()
        self._tell()

    @property
    def match_text(self) -> str:
        """`3 of 1,204 lines`: which matching line is shown; empty without a search."""
        return "" if self._search is None else self._search.text(self._match)

    @property
    def search_running(self) -> bool:
        """Whether matches are being looked for or counted."""
        return self._search is not None and self._search.running

    def cancel_search(self) -> None:
        """End the looking and counting; what is in view stays marked."""
        if self._search is not None:
            self._search.cancel()
            self._tell()

    def _tell(self) -> None:
        search = self._search
        if search is not None and search.problem is not None and search is not self._given_up:
            self._given_up = search
            self.post_message(self.GivenUp(self, search.problem))
        super()._tell()

    def _take_in(self) -> None:
        super()._take_in()
        if self._search is not None:
            self._search.look()

    def _state(self) -> tuple[object, ...]:
        searched = (self._match, self.search_running)
        return (*super()._state(), self._selected_from, self.cleared, searched)

    def _numbers(self) -> tuple[object, ...]:
        return (*super()._numbers(), self.match_text)

    def on_unmount(self) -> None:
        """End what runs in the background."""
        self._end_search()

    def _spans(self, row: Row, start: int, end: int) -> list[Span]:
        spans = super()._spans(row, start, end)
        if self._search is None:
            return spans
        match = self._match is not None and key_of(self._match) == key_of(row.line)
        name = "current" if match else "match"
        found = row.shown.matches(self._search.query, start, end)
        return [*((first, last, name) for first, last in found), *spans]

    # What a line means

    def action_explain(self) -> None:
        """Say what the current line means, or the last one in view that is known."""
        row = self._cursor_row()
        if row is None:
            return
        for one in (row, *reversed(self._layout_of.page())):
            if (symptom := self.symptom_of(one)) is not None:
                self.post_message(self.Explain(self, one.shown.source, symptom))
                return

    def on_click(self, event: events.Click) -> None:
        """Make a line current; say what it means where the gutter says that it is known."""
        page = self._layout_of.page()
        if self.text_selection is not None or not 0 <= event.y < len(page):
            return
        row = page[event.y]
        symptom = self.symptom_of(row)
        if symptom is not None and event.x < 2:
            self.post_message(self.Explain(self, row.shown.source, symptom))
        self._cursor = row.line
        self.refresh()
