"""This machine's time zone, told to a container that has neither our files nor our settings."""

from __future__ import annotations

import re
import time
import zoneinfo
from collections.abc import Mapping
from pathlib import Path

LOCALTIME = Path("/etc/localtime")
_NAMED = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")


def posix_zone(environ: Mapping[str, str], localtime: Path = LOCALTIME) -> str:
    """The zone in POSIX' own words, such as `CET-1CEST,M3.5.0,M10.5.0/3`.

    They hold the rules for summer time, so the image needs no zone files. Where they are not known
    it is today's offset.
    """
    named = environ.get("TZ")
    if named == "":
        return "UTC0"
    if named is None:
        return _rules(localtime) or _offset()
    name = named.removeprefix(":")
    if name.startswith("/"):
        return _rules(Path(name)) or _offset()
    if _NAMED.fullmatch(name):
        for folder in zoneinfo.TZPATH:
            if rules := _rules(Path(folder) / name):
                return rules
    # What is not the name of a zone is in these words already.
    return named


def _rules(file: Path) -> str:
    """The last line of a zone file (RFC 8536, 3.3); empty when it has none."""
    try:
        data = file.read_bytes()
        if not data.startswith(b"TZif") or data[4:5] < b"2" or not data.endswith(b"\n"):
            return ""
        return data[:-1].rpartition(b"\n")[2].decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _offset() -> str:
    """`<+0530>-05:30`: POSIX counts westwards."""
    seconds = time.localtime().tm_gmtoff
    hours, minutes = divmod(abs(seconds) // 60, 60)
    east = seconds >= 0
    name = f"{'+' if east else '-'}{hours:02d}{minutes:02d}"
    return f"<{name}>{'-' if east else '+'}{hours:02d}:{minutes:02d}"
