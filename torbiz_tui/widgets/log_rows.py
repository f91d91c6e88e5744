"""Rows of a log as pieces of text with the names of their styles."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from torbiz_tui.widgets.log_text import ShownLine

# A text and the names of its styles, with spaces between.
Piece = tuple[str, str]
# Where a style begins and ends, and its name.
Span = tuple[int, int, str]

_COLOURED = ("critical", "error", "warning", "debug")


def visible(shown: ShownLine, width: int, part: int, left: int, cells: int) -> tuple[int, str]:
    """Where the text of a row begins and the text: of an unbroken line `cells` from `left` on."""
    if width:
        return shown.piece(width, part)
    text = shown.text
    start = left if shown.one_cell_each else _character_at(text, left)
    return start, text[start : start + cells]


def _character_at(text: str, cells: int) -> int:
    passed = 0
    for at, character in enumerate(text):
        if passed >= cells:
            return at
        passed += cell_len(character)
    return len(text)


def shaded(shown: ShownLine, start: int, text: str) -> list[Piece]:
    """A part of a line: coloured by its level, or with its time and source muted."""
    if shown.level in _COLOURED:
        return [(text, shown.level)]
    head = max(0, shown.message_at - start)
    return [piece for piece in ((text[:head], "head"), (text[head:], "")) if piece[0]]


def overlaid(pieces: list[Piece], start: int, spans: Iterable[Span]) -> list[Piece]:
    """The pieces with further styles; `start` is where they begin in the line of the spans."""
    end = start + sum(len(text) for text, _ in pieces)
    spans = [span for span in spans if span[0] < end and span[1] > start]
    if not spans:
        return pieces
    cuts = {at for begin, stop, _ in spans for at in (begin, stop)}
    result: list[Piece] = []
    at = start
    for text, names in pieces:
        inside = sorted({at, *(cut for cut in cuts if at < cut < at + len(text))})
        for begin, stop in zip(inside, [*inside[1:], at + len(text)], strict=True):
            added = [name for first, last, name in spans if first <= begin and stop <= last]
            result.append((text[begin - at : stop - at], " ".join([names, *added]).strip()))
        at += len(text)
    return result
