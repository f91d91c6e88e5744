"""An engine's stamps as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from torbiz_tui.logs.stamps import _local_minute, with_local_times


@pytest.fixture
def in_bombay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    _local_minute.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    _local_minute.cache_clear()


@pytest.mark.usefixtures("in_bombay")
def test_stamps_are_shown_in_the_time_of_this_place() -> None:
    assert with_local_times(
        [
            "2026-11-24T02:56:44.102468461Z Started",
            "2026-11-24T20:56:44Z ",
            "2026-11-24T03:56:44.5+01:00 2026-11-24T02:56:44Z twice",
            f"==== container seeder {'0123456789abcdef' * 4} from 2026-11-24T02:56:44Z ====",
            "9999-99-99T99:99:99Z no time",
            "no stamp",
        ]
    ) == [
        "08:26:44.102 Started",
        "02:26:44.000 ",
        "08:26:44.500 2026-11-24T02:56:44Z twice",
        "==== container seeder 0123456789ab from 08:26:44.000 ====",
        "99:99:99.000 no time",
        "no stamp",
    ]
