"""Times and sizes as people read them."""

from __future__ import annotations

_MINUTE = 60
_HOUR = 3600
_DAY = 86_400
_TENTHS_BELOW_S = 10
_MILLISECONDS_BELOW_S = 0.1


def duration(seconds: float) -> str:
    """`15 ms`, `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if 0 < seconds < _MILLISECONDS_BELOW_S:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _TENTHS_BELOW_S:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def whole_seconds(seconds: float) -> str:
    """As `duration`, without tenths: for what ticks."""
    return f"{int(seconds)} s" if seconds < _TENTHS_BELOW_S else duration(seconds)


def span(seconds: float) -> str:
    """In its greatest unit alone: `12 s`, `3 min`, `5 h`, `2 days`."""
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds) // _MINUTE} min"
    if seconds < _DAY:
        return f"{int(seconds) // _HOUR} h"
    days = int(seconds) // _DAY
    return f"{days} day{'' if days == 1 else 's'}"


def memory(size: int) -> str:
    """`512 MB`, `1.4 GB` (decimal units)."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def amount(size: int) -> str:
    """As `memory`, for what can be little: `0 kB`, `39 kB`, `5 MB`."""
    return memory(size) if size >= 1e6 else f"{size / 1e3:.0f} kB"
