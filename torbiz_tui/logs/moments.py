"""Moments as a person writes them: `10m`, `12:30`, `2026-11-24 12:30`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

ACCEPTED = (
    "accepted is a time ago (10m, 2h30m, 3d), a time of day (12:30), or a date with or without one"
    " (2026-11-24, 2026-11-24T12:30)"
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(?:\d{1,4}\s*[smhdw]\s*)+", re.IGNORECASE)
_PIECE = re.compile(r"(\d+)\s*([smhdw])", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?")
_DAYS = {"today": 0, "yesterday": 1}


def moment_of(text: str, now: datetime | None = None) -> datetime:
    """The moment that is meant, aware: so long ago, a time of day, or a day with or without one.

    A time of day is the last one that was; a day alone is its beginning. What names no zone is
    local time. Raises ValueError for what is none of these, with a text that says what is accepted.
    """
    now = now or datetime.now().astimezone()
    text = text.strip()
    if text.lower() == "now":
        return now
    try:
        if _SPAN.fullmatch(text):
            return now - sum(map(_span, _PIECE.finditer(text)), timedelta())
        if (clock := _CLOCK.fullmatch(text)) is not None:
            found = _at(now, clock)
            return found if found <= now else _at(now - timedelta(days=1), clock)
        day, _, time = text.partition(" ")
        if day.lower() in _DAYS:
            return _on_day(now - timedelta(days=_DAYS[day.lower()]), time.strip())
        return datetime.fromisoformat(text.replace(",", ".")).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time; {ACCEPTED}.") from error


def _span(piece: re.Match[str]) -> timedelta:
    return timedelta(**{_UNITS[piece[2].lower()]: int(piece[1])})


def _on_day(day: datetime, time: str) -> datetime:
    if not time:
        return day.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = _CLOCK.fullmatch(time)
    if clock is None:
        raise ValueError(time)
    return _at(day, clock)


def _at(day: datetime, clock: re.Match[str]) -> datetime:
    hour, minute, second, fraction = clock.groups()
    # By way of the local day: around a change of the clocks its offset is another.
    return (
        day.replace(
            hour=int(hour),
            minute=int(minute),
            second=int(second or 0),
            microsecond=int((fraction or "").ljust(6, "0")),
            tzinfo=None,
        )
    ).astimezone()


def shown_moment(moment: datetime, now: datetime | None = None) -> str:
    """A moment in few characters: `12:30` if it is today, else with its day; local time."""
    now = now or datetime.now().astimezone()
    local = moment.astimezone()
    clock = local.strftime("%H:%M:%S").removesuffix(":00")
    if local.date() == now.astimezone().date():
        return clock
    day = local.strftime("%Y-%m-%d")
    return day if clock == "00:00" else f"{day} {clock}"
