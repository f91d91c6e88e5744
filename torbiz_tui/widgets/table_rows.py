"""Tables that shrink to the width."""

from __future__ import annotations

from collections.abc import Sequence

from torbiz_tui.widgets.styled_rows import Part, Row, size_of, wrapped

# A cell: its lines, and `left`, `right` or `center`.
Cell = tuple[list[list[Part]], str]
_BETWEEN, _CROSS = " │ ", "─┼─"
_NARROWEST = 3


def table_rows(cells: Sequence[Sequence[Cell]], width: int, *, with_head: bool = True) -> list[Row]:
    """A head, a rule and the body; cells are wrapped where the table is wider than `width`."""
    columns = max(map(len, cells), default=0)
    if not columns:
        return []
    widths = _widths(cells, columns, width)
    if widths is None:
        return _records(cells, width, with_head=with_head)
    rows: list[Row] = []
    rule = Row([(_CROSS.join("─" * size for size in widths), "rule")], 1, None)
    shown = [_row(row, widths) for row in cells]
    wraps = any(len(lines) > 1 for lines in shown[1:])
    for at, lines in enumerate(shown):
        if at == 0 and not with_head:
            continue
        # Where cells take several rows, only a line tells where the next one begins.
        if rows and (at == 1 or wraps):
            rows.append(rule)
        rows += lines
    return rows


def _size(line: Sequence[Part]) -> int:
    return sum(size_of(text) for text, _ in line)


def _widths(cells: Sequence[Sequence[Cell]], columns: int, width: int) -> list[int] | None:
    """How wide the columns are; None when they do not fit at all."""
    room = width - len(_BETWEEN) * (columns - 1)
    if room < columns * _NARROWEST:
        return None
    natural = [1] * columns
    for row in cells:
        for at, (lines, _) in enumerate(row):
            natural[at] = max(natural[at], *(_size(line) for line in lines))
    if sum(natural) <= room:
        return natural
    # The widest give way, down to a common width.
    shares: list[int] = [0] * columns
    left = room
    for taken, at in enumerate(sorted(range(columns), key=lambda at: natural[at])):
        shares[at] = min(natural[at], left // (columns - taken))
        left -= shares[at]
    return shares


def _row(row: Sequence[Cell], widths: Sequence[int]) -> list[Row]:
    columns: list[list[list[Part]]] = []
    for size, (lines, align) in zip(widths, row, strict=False):
        pieces = [wrap.parts for line in lines for wrap in wrapped(line, size)]
        columns.append([_aligned(piece, size, align) for piece in pieces])
    columns += [[] for _ in widths[len(columns) :]]
    rows = []
    for line in range(max(1, *map(len, columns))):
        parts: list[Part] = []
        for at, (size, column) in enumerate(zip(widths, columns, strict=True)):
            if at:
                parts.append((_BETWEEN, "rule"))
            parts += column[line] if line < len(column) else [(" " * size, "")]
        rows.append(Row(parts))
    return rows


def _aligned(parts: list[Part], size: int, align: str) -> list[Part]:
    missing = max(0, size - _size(parts))
    left = {"right": missing, "center": missing // 2}.get(align, 0)
    return [(" " * left, ""), *parts, (" " * (missing - left), "")]


def _records(cells: Sequence[Sequence[Cell]], width: int, *, with_head: bool) -> list[Row]:
    """More columns than there is room for: each row as lines of `title: value`."""
    head = [[part for line in lines for part in line] for lines, _ in cells[0]]
    rows: list[Row] = []
    if len(cells) == 1 and with_head:
        return [row for title in head for row in wrapped(title, width)]
    for record in cells[1:]:
        if rows:
            rows.append(Row([("─" * width, "rule")], 1, None))
        for title, (lines, _) in zip(head, record, strict=False):
            value = [part for line in lines for part in line]
            rows += wrapped([*title, (": ", "strong"), *value], width)
    return rows
