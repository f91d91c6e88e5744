"""Moments as a person writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from torbiz_tui.logs.moments import moment_of

NOW = datetime(2026, 3, 5, 10, 30).astimezone()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        (" 1h30m ", NOW - timedelta(minutes=90)),
        ("3d", NOW - timedelta(days=3)),
        ("9:05", datetime(2026, 3, 5, 9, 5).astimezone()),
        ("10:30", NOW),
        ("10:30:01", datetime(2026, 3, 4, 10, 30, 1).astimezone()),
        ("2026-03-01", datetime(2026, 3, 1).astimezone()),
        ("2026-03-01 12:30", datetime(2026, 3, 1, 12, 30).astimezone()),
        ("2026-03-01T12:30:10.5Z", datetime(2026, 3, 1, 12, 30, 10, 500_000, UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    assert moment_of(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10x", "25:00", "12:60", "2026-13-01", "999999d", "soon"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="accepted is a time ago"):
        moment_of(text, NOW)
