"""Rows of styled text: wrapping by cells, without knowing what a style looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

# A text and the names of its styles, with spaces between.
Part = tuple[str, str]

_WORDS = re.compile(r"\s*\S+\s*|\s+")


class Row(NamedTuple):
    """One row of the screen: `lead` parts are decoration that is not part of the text."""

    parts: list[Part]
    lead: int = 0
    # What stands between this row's text and that of the row before, when it is copied; None where
    # the row is nothing but decoration.
    joint: str | None = "\n"

    @property
    def text(self) -> str:
        """The text without its decoration."""
        return "".join(text for text, _ in self.parts[self.lead :])


def size_of(text: str) -> int:
    """The cells that a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def plain_rows(text: str, width: int, style: str = "") -> list[Row]:
    """Text of several lines, wrapped."""
    rows: list[Row] = []
    for line in text.split("\n"):
        rows += wrapped([(line.expandtabs(4), style)], width)
    return rows


def wrapped(parts: Sequence[Part], width: int) -> list[Row]:
    """One line of text on as many rows as it needs; at least one."""
    text = "".join(part for part, _ in parts)
    if text.isascii() and len(text) <= width:
        return [Row(list(parts))]
    cuts = _cuts(text, max(1, width))
    rows = []
    joint = "\n"
    for at, piece in enumerate(_divided(parts, cuts)):
        rows.append(Row(piece, 0, joint))
        # The spaces at which a line was broken are no part of the row; a copy has them again.
        last, style = piece[-1] if piece else ("", "")
        bare = last.rstrip(" ")
        joint = last[len(bare) :]
        if joint and at < len(cuts):
            piece[-1] = (bare, style)
    return rows or [Row([])]


def folded(parts: Sequence[Part], width: int) -> list[Row]:
    """One line broken at exactly the width, for code."""
    text = "".join(part for part, _ in parts)
    width = max(1, width)
    if text.isascii():
        if len(text) <= width:
            return [Row(list(parts))]
        cuts = list(range(width, len(text), width))
    else:
        cuts = []
        for piece in chop_cells(text, width)[:-1]:
            cuts.append((cuts[-1] if cuts else 0) + len(piece))
    return [
        Row(piece, 0, "" if at else "\n") for at, piece in enumerate(_divided(parts, cuts))
    ] or [Row([])]


def _cuts(text: str, width: int) -> list[int]:
    """Where a text is broken so that every piece fits, at spaces as far as it goes."""
    cuts: list[int] = []
    used = 0
    for found in _WORDS.finditer(text):
        word = found.group()
        bare = word.rstrip()
        size = size_of(bare)
        if used + size <= width:
            used += size_of(word)
            continue
        start = found.start()
        if size <= width:
            if start:
                cuts.append(start)
            used = size_of(word)
            continue
        # A word that is longer than a row is broken inside, from where the row has room.
        if used >= width and start:
            cuts.append(start)
            used = 0
        pieces = _pieces(bare, width, used)
        at = start
        for piece in pieces[:-1]:
            at += len(piece)
            if at:
                cuts.append(at)
        used = size_of(pieces[-1]) + size_of(word) - size + (used if len(pieces) == 1 else 0)
    return sorted(set(cuts))


def _pieces(word: str, width: int, used: int) -> list[str]:
    room = width - used
    if room >= width or room < 1:
        return chop_cells(word, width)
    first = chop_cells(word, room)[0] if word.isascii() else chop_cells(word[:room], room)[0]
    rest = word[len(first) :]
    return [first, *chop_cells(rest, width)] if rest else [first]


def _divided(parts: Iterable[Part], cuts: Sequence[int]) -> Iterable[list[Part]]:
    """The parts cut at offsets of their joined text."""
    row: list[Part] = []
    at = 0
    following = iter(cuts)
    cut = next(following, None)
    for text, style in parts:
        start = 0
        while cut is not None and cut <= at + len(text):
            if cut > at + start:
                row.append((text[start : cut - at], style))
            yield row
            row = []
            start = cut - at
            cut = next(following, None)
        if start < len(text):
            row.append((text[start:], style))
        at += len(text)
    yield row
