"""Lines of a log that are chosen: the current one, marks, and what is taken along."""

from __future__ import annotations

from collections.abc import Iterator

from textual import work
from textual.selection import Selection

from torbiz_tui.logs.decoding import shown_line
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.widgets.log_layout import Row
from torbiz_tui.widgets.log_rows import Piece, Span
from torbiz_tui.widgets.log_text import Key, key_of
from torbiz_tui.widgets.log_view import LogView

COPIED_AT_MOST = 10_000
"""How many lines one copy takes; a clipboard is no place for more."""
COPIED_BYTES = 4 * 2**20
"""How many bytes of them."""
_LONGEST_COPIED = 2**20
_BATCH = 100


class LogChoosing(LogView, inherit_bindings=False):
    """Has a current line, marked lines, and lines selected by keys or by the mouse."""

    def __init__(
        self,
        *,
        empty_text: str = "Nothing logged yet.",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(empty_text=empty_text, id=id)
        self._cursor: RawLine | None = None
        self._marks: dict[Key, RawLine] = {}
        # The other end of what is selected by keys.
        self._selected_from: RawLine | None = None
        self._cursor_key: Key | None = None
        self._selected: tuple[int, int] | None = None

    # The current line

    @property
    def cursor_line(self) -> RawLine | None:
        """The line that keys act on: the current one if it is in view, else one at the edge."""
        row = self._cursor_row()
        return None if row is None else row.line

    def _cursor_row(self) -> Row | None:
        page = self._layout_of.page()
        if not page:
            return None
        if self._cursor is not None:
            cursor = key_of(self._cursor)
            for row in page:
                if key_of(row.line) == cursor:
                    return row
        return page[-1] if self._layout_of.at_end and not self._from_first else page[0]

    def action_current(self, lines: int) -> None:
        """Make a line further down, or up, the current one."""
        row, view = self._cursor_row(), self._layout_of.view
        if row is None or view is None:
            return
        shown = self._cursor is not None and key_of(row.line) == key_of(self._cursor)
        if not shown and self._selected_from is not None and self._cursor is not None:
            # What is selected may go far beyond the view.
            index = view.index_of(self._cursor) + lines
        else:
            index = row.at + (lines if shown else 0)
        found = view.lines(max(0, min(index, view.count - 1)), 1)
        if found:
            self._make_current(found[0])

    def go_to(self, line: RawLine) -> None:
        """Bring a line into view and make it current; as soon as it is known, if it is not yet."""
        self._to_first = False
        self._cursor = line
        known = self._go(line)
        view = self._layout_of.view
        if not known and view is not None and view.complete:
            nearest = view.lines(min(view.index_of(line), view.count - 1), 1)
            self._cursor = nearest[0] if nearest else None
        self._settle()

    def _make_current(self, line: RawLine) -> None:
        """Make a line current and scroll as little as that needs."""
        layout = self._layout_of
        self._hold()
        self._goal, self._to_first = None, False
        self._cursor = line
        index = layout.view.index_of(line) if layout.view is not None else 0
        page = layout.page()
        rows = layout.lines.get(line).rows(layout.line_width)
        if page and (index < page[0].at or (index == page[0].at and page[0].part)):
            layout.to(index)
        elif page and (index > page[-1].at or (index == page[-1].at and page[-1].part < rows - 1)):
            layout.to(index, rows - 1, clamp=False)
            layout.move(1 - layout.height)
            if rows >= layout.height:
                layout.to(index)
        self._settle()

    # Marks

    def toggle_mark(self) -> None:
        """Mark the current line, or no longer."""
        line = self.cursor_line
        if line is None:
            return
        if self._marks.pop(key_of(line), None) is None:
            self._marks[key_of(line)] = line
        self._make_current(line)

    def next_mark(self, direction: int) -> None:
        """Go to the next marked line, down or up, around the ends."""
        view, row = self._layout_of.view, self._cursor_row()
        if view is None or row is None:
            return
        known: list[int] = []
        for line in self._marks.values():
            index = view.index_of(line)
            here = view.lines(index, 1)
            if here and key_of(here[0]) == key_of(line):
                known.append(index)
        if not known:
            return
        beyond = [index for index in known if (index - row.at) * direction > 0]
        nearest = min(beyond or known, key=lambda index: index * direction)
        found = view.lines(nearest, 1)
        if found:
            self.go_to(found[0])

    def action_mark(self) -> None:
        """Mark the current line, or no longer."""
        self.toggle_mark()

    def action_next_mark(self, direction: int) -> None:
        """Go to the next marked line, down or up."""
        self.next_mark(direction)

    # Taking lines along

    def action_select(self) -> None:
        """Begin to select lines at the current one, or end it."""
        line = self.cursor_line
        if self._selected_from is not None:
            self.action_deselect()
        elif line is not None:
            self._selected_from = line
            self._make_current(line)

    def action_deselect(self) -> None:
        """Select nothing any more."""
        self._selected_from = None
        self.refresh()
        self._tell()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave Escape to others while nothing is selected."""
        if action == "deselect":
            return self._selected_from is not None
        return super().check_action(action, parameters)

    def _selected_range(self) -> tuple[int, int] | None:
        """The first and the last index that is selected by keys."""
        view = self._layout_of.view
        if view is None or self._selected_from is None or self._cursor is None:
            return None
        ends = sorted((view.index_of(self._selected_from), view.index_of(self._cursor)))
        return ends[0], ends[1]

    @work(group="copy", exit_on_error=False)
    async def action_copy(self) -> None:
        """Copy what is selected, else the current line."""
        from torbiz_tui.clipboard import COPIED, COPIED_HERE, copy_locally

        text, chosen = self.copied_text(), self._selected_range()
        lines = text.count("\n") + 1
        left_out = 0 if chosen is None else chosen[1] - chosen[0] + 1 - lines
        self.action_deselect()
        self._forget_selection()
        title = "1 line" if lines == 1 else f"{lines:,} lines"
        if left_out > 0:
            title += f"; {left_out:,} more are too many for a clipboard"
        self.app.copy_to_clipboard(text)
        here = await copy_locally(text)
        self.notify(COPIED_HERE if here else COPIED, title=title, markup=False)

    def copied_text(self) -> str:
        """The lines that are selected, else the current one, as they stand in the log; redacted."""
        if self._selected_from is None and (selection := self.text_selection) is not None:
            return self.get_selection(selection)[0]
        chosen, line = self._selected_range(), self.cursor_line
        if chosen is not None:
            return "\n".join(self._source_of(one) for _, one in self._copied_lines(*chosen))
        return "" if line is None else self._source_of(line)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """What the mouse has chosen as it stands in the log, not as it is broken on the screen."""
        first = 0 if selection.start is None else selection.start.y
        last = self.line_count - 1 if selection.end is None else selection.end.y
        texts: list[str] = []
        for index, line in self._copied_lines(first, last):
            start, end = selection.get_span(index) or (0, -1)
            text = self._layout_of.lines.get(line).text
            whole = start <= 0 and (end == -1 or end >= len(text))
            piece = text[max(0, start) : None if end == -1 else max(0, end)]
            texts.append(self._source_of(line) if whole else piece)
        return "\n".join(texts), "\n"

    def _copied_lines(self, first: int, last: int) -> Iterator[tuple[int, RawLine]]:
        view, left = self._layout_of.view, COPIED_BYTES
        last = min(last, first + COPIED_AT_MOST - 1)
        while view is not None and first <= last:
            lines = view.lines(first, min(_BATCH, last - first + 1))
            for line in lines:
                left -= min(line.length, _LONGEST_COPIED)
                if left < 0:
                    return
                yield first, line
                first += 1
            if not lines:
                return

    def _source_of(self, line: RawLine) -> str:
        view = self._layout_of.view
        return shown_line(line.data if view is None else view.whole(line, _LONGEST_COPIED))

    # What is marked in rows

    def _look_at_marks(self) -> None:
        super()._look_at_marks()
        self._cursor_key = None if self._cursor is None else key_of(self._cursor)
        self._selected = self._selected_range()

    def _is_selected(self, row: Row) -> bool:
        return self._selected is not None and self._selected[0] <= row.at <= self._selected[1]

    def _gutter(self, row: Row) -> Piece:
        key = key_of(row.line)
        current = key == self._cursor_key
        if key in self._marks and not row.part:
            return "◆", "mark current" if current else "mark"
        if current:
            return "▌", "cursor"
        return ("│", "cursor") if self._is_selected(row) else (" ", "")

    def _spans(self, row: Row, start: int, end: int) -> list[Span]:
        spans = super()._spans(row, start, end)
        return [*spans, (start, end, "selected")] if self._is_selected(row) else spans
