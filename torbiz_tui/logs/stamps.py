"""The time stamps of a container engine, made short for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)(?:\.(\d{1,3})\d*)?(Z|[+-]\d\d:\d\d) ")
_HEADING = "==== container "
_LONG_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def with_local_times(lines: Sequence[str]) -> list[str]:
    """Lines that begin with an RFC 3339 stamp with the local time of day instead.

    In the headings of container.log the container's id is made short.
    """
    return [_readable(line) for line in lines]


def _readable(line: str) -> str:
    if line.startswith(_HEADING):
        return _STAMP.sub(_local, _LONG_ID.sub(r"\1", line))
    return _STAMP.sub(_local, line, count=1) if _STAMP.match(line) else line


def _local(stamp: re.Match[str]) -> str:
    minute, second, milliseconds, offset = stamp.groups()
    return f"{_local_minute(minute, offset)}:{second}.{(milliseconds or '').ljust(3, '0')} "


@lru_cache(maxsize=64)
def _local_minute(minute: str, offset: str) -> str:
    try:
        return datetime.fromisoformat(minute + offset).astimezone().strftime("%H:%M")
    except (ValueError, OverflowError):
        return minute[-5:]
