"""A history as one line of block characters, readable without colours."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int, *, top: float = 0.0) -> Content:
    """The newest `width` values, the last one on the right.

    The highest block is the greatest of them, or `top` where that is more.
    """
    shown = values[-width:] if width > 0 else ()
    highest = max((top, *shown))
    return Content.styled("".join(_block(value, highest) for value in shown), "$text-accent")


def _block(value: float, highest: float) -> str:
    if value <= 0 or highest <= 0:
        return _BLOCKS[0]
    # What is more than nothing stands out from it.
    return _BLOCKS[min(7, max(1, round(value / highest * 7)))]
