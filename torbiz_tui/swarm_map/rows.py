"""Rows of text with styles, for a terminal's lines and for a screen alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

Part = tuple[str, str]
"""A text and the name of its style, one of STYLES or empty."""
Row = tuple[Part, ...]

_AS_PICTURE = "\ufe0f"
STYLES = ("head", "good", "thin", "bad", "joining", "offline", "own", "dim")


def text_of(row: Row) -> str:
    """The row without styles."""
    return "".join(text for text, _style in row)


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if character == _AS_PICTURE:
        # It makes a narrow sign before it a wide one; too much room is taken rather than too little.
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """The text cut or filled up to exactly `width` columns."""
    if cells(text) > width:
        kept, room = "", width - 1
        for character in text:
            if (room := room - _cells(character)) < 0:
                break
            kept += character
        text = f"{kept}…" if width > 0 else ""
    blank = " " * (width - cells(text))
    return blank + text if right else text + blank


def wrapped(text: str, width: int, style: str = "", indent: str = "  ") -> list[Row]:
    """A sentence as rows of at most `width` columns; later ones are indented."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if cells(longer) > width and line:
            lines.append(line)
            longer = indent + word
        line = longer
    lines.append(line)
    return [((fitted(line, min(width, cells(line))), style),) for line in lines]


def merged(parts: Iterable[Part]) -> Row:
    """Neighbours of the same style as one part."""
    row: list[Part] = []
    for text, style in parts:
        if row and row[-1][1] == style:
            row[-1] = row[-1][0] + text, style
        elif text:
            row.append((text, style))
    return tuple(row)


def plain(rows: Sequence[Row]) -> list[str]:
    """The rows as lines, without blanks at their ends."""
    return [text_of(row).rstrip() for row in rows]
