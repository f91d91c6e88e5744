"""Text chosen with the mouse: where it begins and ends, and what a copy of it is."""

from __future__ import annotations

from textual.geometry import Offset
from textual.selection import Selection

from torbiz_tui.widgets.styled_rows import Row
from torbiz_tui.widgets.transcript_layout import Place, TranscriptLayout

# A place as one number that grows downwards, as a selection wants it; what is corrected above or
# comes below does not change it.
_BITS = 24


def number_of(place: Place) -> int:
    """The number of a place."""
    return (place.item << _BITS | place.block) << _BITS | place.row


def place_of(number: int) -> Place:
    """The place of a number."""
    mask = (1 << _BITS) - 1
    return Place(number >> 2 * _BITS, number >> _BITS & mask, number & mask)


def selected_text(layout: TranscriptLayout, selection: Selection) -> str:
    """What is selected, without the marks at its left and with lines as long as they were.

    A message that is selected from its beginning to its end is given as it was written.
    """
    if not layout.items:
        return ""
    last_item = len(layout.items) - 1
    first = Place(0, 0, 0) if selection.start is None else place_of(selection.start.y)
    last = Place(last_item + 1, 0, 0) if selection.end is None else place_of(selection.end.y)
    lines: list[str] = []
    for index in range(first.item, min(last.item, last_item) + 1):
        if first.item < index < last.item or selection.start is selection.end is None:
            entry = layout.items[index].entry
            lines += ["", entry.heading, *filter(None, [layout.items[index].text, entry.note])]
        else:
            lines += _lines(layout, index, selection)
    return "\n".join(lines).strip("\n")


def _lines(layout: TranscriptLayout, index: int, selection: Selection) -> list[str]:
    lines: list[str] = []
    for at, block in enumerate(layout.blocks_of(index)):
        for row_at, row in enumerate(layout.block_rows(block)):
            span = selection.get_span(number_of(Place(index, at, row_at)))
            if span is None or row.joint is None:
                continue
            piece = _piece(row, span)
            if lines and row.joint != "\n":
                lines[-1] += row.joint + piece
            else:
                lines.append(piece)
    return [line.rstrip() for line in lines]


def _piece(row: Row, span: tuple[int, int]) -> str:
    start, end = span
    return row.text[max(0, start) : None if end == -1 else max(0, end)]


def offset_of(place: Place, row: Row) -> Offset:
    """Where a row begins: its marks at the left stand before its text."""
    return Offset(-sum(len(text) for text, _ in row.parts[: row.lead]), number_of(place))
