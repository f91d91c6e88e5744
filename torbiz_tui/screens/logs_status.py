"""The line below a log: what is shown of it, and what goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content

from torbiz_tui.logs.reading import Reading
from torbiz_tui.widgets.log_pane import LogPane

_BETWEEN = " · "
_LEAST = 12
_GOING_ON = ("searching", "stopped")


class Part(NamedTuple):
    """A part of the line; where there is no room, those with the lowest `weight` are left out."""

    text: str
    style: str
    weight: int


def status_parts(reading: Reading, pane: LogPane, title: str, doing: str) -> list[Part]:
    """What there is to say, in its order; `doing` is what somebody waits for."""
    count = pane.line_count
    lines = "1 line" if count == 1 else f"{count:,} lines"
    if reading.cut:
        lines = f"the last {lines}"
    parts = [Part(title, "dim", 4), Part(lines, "dim", 3), _place(pane)]
    parts.append(Part(_size(reading.size), "dim", 1))
    if reading.filter_text:
        parts.append(Part(reading.told_filter(), "$text-accent", 6))
    if pane.match_text:
        going_on = pane.match_text.startswith(_GOING_ON)
        text = pane.match_text if going_on else f"match {pane.match_text}"
        parts.append(Part(text, "bold", 7))
    if pane.cleared:
        parts.append(Part("cleared, C shows all", "$text-accent", 5))
    doing = doing or reading.doing
    if doing:
        parts.append(Part(doing, "bold", 8))
    problem = reading.problem or (reading.given_up.what if reading.given_up is not None else "")
    if problem:
        parts.append(Part(problem, "bold $text-error", 9))
    return parts


def _size(count: int) -> str:
    """`512 bytes`, `3.4 KB`, `250.0 MB` (decimal units)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} bytes"


def _place(pane: LogPane) -> Part:
    if pane.following:
        return Part("following", "dim", 2)
    if pane.new_lines:
        word = "line" if pane.new_lines == 1 else "lines"
        return Part(f"{pane.new_lines:,} new {word} below, G goes there", "bold $text-warning", 10)
    return Part("not following, G goes to the end", "dim", 2)


def status_line(parts: Sequence[Part], width: int) -> Content:
    """As many parts as there is room for."""
    chosen = list(parts)
    while len(chosen) > 1 and _cells(chosen) > width:
        lightest = min(chosen, key=lambda part: part.weight)
        too_much = _cells(chosen) - width
        room = cell_len(lightest.text) - too_much
        at = chosen.index(lightest)
        if room >= _LEAST and lightest.weight > 2:
            chosen[at] = lightest._replace(text=_shortened(lightest.text, room))
            break
        del chosen[at]
    content: list[str | tuple[str, str]] = []
    for part in chosen:
        if content:
            content.append((_BETWEEN, "dim"))
        content.append((part.text, part.style))
    return Content.assemble(*content)


def _cells(parts: Sequence[Part]) -> int:
    return sum(cell_len(part.text) for part in parts) + len(_BETWEEN) * (len(parts) - 1)


def _shortened(text: str, cells: int) -> str:
    kept = ""
    for character in text:
        if cell_len(kept + character) >= cells:
            break
        kept += character
    return f"{kept}…"
