"""What a log line says of itself: its time, its level, where it comes from."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

LEVELS = ("debug", "info", "warning", "error", "critical")

_LEVEL_OF = {
    "TRACE": "debug",
    "DEBUG": "debug",
    "INFO": "info",
    "NOTICE": "info",
    "WARN": "warning",
    "WARNING": "warning",
    "ERROR": "error",
    "ERR": "error",
    "EXCEPTION": "error",
    "CRITICAL": "critical",
    "CRIT": "critical",
    "FATAL": "critical",
    "PANIC": "critical",
    "EMERG": "critical",
    "ALERT": "critical",
    "I": "info",
    "W": "warning",
    "E": "error",
    "F": "critical",
}
_NAMES = "|".join(sorted((name for name in _LEVEL_OF if len(name) > 1), key=len, reverse=True))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# 2026-11-24T02:56:44.102468461Z, 2026-11-24 02:56:44,102; and Nov 24 02:56:44.102 (hivemind, syslog).
_STAMP = re.compile(
    r"\[?(?:(?P<day>\d{4}-\d\d-\d\d)[T ]|(?P<date>(?:" + "|".join(_MONTHS) + r") [ \d]\d) )"
    r"(?P<minute>\d\d:\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?(?P<zone>Z| ?[+-]\d\d:?\d\d)?\]?"
    r"(?=[\s:\[\]|-]|$)"
)
# I1124 02:56:44.102468 1234 file.cc:12] (glog, as used by C++ libraries).
_GLOG = re.compile(
    r"(?P<level>[IWEF])(?P<month>\d\d)(?P<day>\d\d) (?P<minute>\d\d:\d\d):(?P<second>\d\d)"
    r"\.(?P<fraction>\d{6})\s+\d+ (?P<source>[^\s\]]+)\] ?"
)
# [INFO] [petals.server:12], INFO [..], - INFO -, WARNING:
_AFTER_STAMP = re.compile(
    rf"[\s|:-]*(?:\[?(?P<level>{_NAMES})\]?)(?![\w])(?:\s*\[(?P<source>[^\]\s]{{1,160}})\])?[\s|:-]*",
    re.IGNORECASE,
)
# - torbiz.app - INFO -  (what most people configure in Python's logging).
_NAME_FIRST = re.compile(
    rf"[\s|-]+(?P<source>[\w.\-/]{{1,160}})\s*[\s|:-]\s*\[?(?P<level>{_NAMES})\]?(?![\w])[\s|:-]*"
)
# INFO:torbiz.app:, WARNING: , [ERROR], error: ; nothing that a sentence could begin with.
_WITHOUT_STAMP = re.compile(
    rf"(?:\[(?P<in>{_NAMES})\][\s:]*|(?P<named>{_NAMES}):(?P<source>[\w.\-]{{1,160}}):"
    rf"|(?P<colon>{_NAMES}|error|warning|fatal|panic|info|debug):\s*)"
)
_WORD = re.compile(
    r"\b(?:(?P<critical>CRITICAL|FATAL)|(?P<error>ERROR|Traceback)|(?P<warning>WARN(?:ING)?))\b"
)
_EXCEPTION = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?P<kind>Error|Exception|Interrupt|Exit|Warning)(?::|$)"
)
_ENDED = re.compile(r"(?:Killed|Aborted|Segmentation fault)\b")
_CHAIN = (
    "Traceback (most recent call last)",
    "During handling of the above exception",
    "The above exception was the direct cause",
    "  + Exception Group Traceback",
)
_CONTINUING = (" ", "\t", *_CHAIN)
_TIME_KEYS = ("time", "timestamp", "ts", "@timestamp", "asctime", "created")
_LEVEL_KEYS = ("level", "levelname", "severity", "lvl", "log.level")
_SOURCE_KEYS = ("logger", "name", "source", "component", "module", "caller")
_MESSAGE_KEYS = ("message", "msg", "event", "text", "detail")
_SEARCHED = 400
_SECONDS = 60


class Parsed(NamedTuple):
    """A line's parts, as far as it has them.

    `time` is aware; a stamp without a zone is taken as the local time of this machine, one without
    a year as of the latest year that puts it a day into the future at most. `level` is one of `LEVELS`
    or empty, `source` the logger or the place in the code, `message_at` where the message begins in
    the text.
    """

    time: datetime | None = None
    level: str = ""
    source: str = ""
    message_at: int = 0


_NOTHING = Parsed()


def parse(text: str) -> Parsed:
    """Take a line apart; `text` is decoded and without colours (see `decoding`)."""
    head = text[:_SEARCHED]
    stamp = _STAMP.match(head)
    if stamp is None:
        return _parse_unstamped(head, text)
    time = _time(stamp)
    at = stamp.end()
    found = _AFTER_STAMP.match(head, at) or _NAME_FIRST.match(head, at)
    if found is not None:
        return Parsed(time, _LEVEL_OF[found["level"].upper()], found["source"] or "", found.end())
    if _is_engine_stamp(stamp):
        inner = parse(text[at + 1 :])
        return inner._replace(time=time or inner.time, message_at=inner.message_at + at + 1)
    at += len(head[at:]) - len(head[at:].lstrip())
    return Parsed(time, _level_by_word(head, at), "", at)


def _parse_unstamped(head: str, text: str) -> Parsed:
    if head.startswith("{"):
        return _parse_json(text)
    if (found := _WITHOUT_STAMP.match(head)) is not None:
        name = found["in"] or found["named"] or found["colon"]
        return Parsed(None, _LEVEL_OF[name.upper()], found["source"] or "", found.end())
    if (found := _GLOG.match(head)) is not None:
        year = f"{_MONTHS[min(11, max(0, int(found['month']) - 1))]} {found['day']}"
        time = _moment("", year, found["minute"], "", found["second"], found["fraction"])
        return Parsed(time, _LEVEL_OF[found["level"]], found["source"], found.end())
    level = _level_by_word(head, 0)
    return Parsed(level=level) if level else _NOTHING


def _level_by_word(head: str, at: int) -> str:
    """The level by a word that nothing else tells: an exception's name, a level in capitals."""
    if (found := _EXCEPTION.match(head, at)) is not None:
        return "warning" if found["kind"] == "Warning" else "error"
    if _ENDED.match(head, at):
        return "error"
    found = _WORD.search(head, at, at + 200)
    return found.lastgroup or "" if found is not None else ""


def _parse_json(text: str) -> Parsed:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return Parsed(level=_level_by_word(text, 0))
    if not isinstance(data, dict):
        return _NOTHING
    level = str(_first(data, _LEVEL_KEYS) or "").upper()
    message = _first(data, _MESSAGE_KEYS)
    at = text.find(json.dumps(message)[:32]) if isinstance(message, str) else -1
    source = _first(data, _SOURCE_KEYS)
    return Parsed(
        _json_time(_first(data, _TIME_KEYS)),
        _LEVEL_OF.get(level, ""),
        source if isinstance(source, str) else "",
        at + 1 if at > 0 else 0,
    )


def _first(data: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((data[name] for name in names if name in data), None)


def _json_time(value: Any) -> datetime | None:
    if isinstance(value, str):
        stamp = _STAMP.match(value)
        return _time(stamp) if stamp is not None else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Seconds, milliseconds or nanoseconds since 1970.
        seconds = value / 1e9 if value > 1e17 else value / 1e3 if value > 1e11 else value
        try:
            return datetime.fromtimestamp(seconds, UTC).astimezone()
        except (ValueError, OverflowError, OSError):
            return None
    return None


def _time(stamp: re.Match[str]) -> datetime | None:
    day, date, minute, zone, second, fraction = stamp.group(
        "day", "date", "minute", "zone", "second", "fraction"
    )
    return _moment(day or "", date or "", minute, zone or "", second, fraction or "")


def _moment(
    day: str, date: str, minute: str, zone: str, second: str, fraction: str
) -> datetime | None:
    begun, seconds = _minute(day, date, minute, zone), int(second)
    if begun is None or seconds >= _SECONDS:
        return None
    return begun + timedelta(0, seconds, int(fraction[:6].ljust(6, "0")))


# Of a log's lines most are of the same minute as the one before, and reading a date is costly.
@lru_cache(maxsize=4096)
def _minute(day: str, date: str, minute: str, zone: str) -> datetime | None:
    try:
        if day:
            return datetime.fromisoformat(f"{day}T{minute}{zone.strip()}").astimezone()
        now = datetime.now().astimezone()
        month = _MONTHS.index(date[:3]) + 1
        for year in range(now.year + 1, now.year - 5, -1):
            try:
                time = datetime.fromisoformat(
                    f"{year}-{month:02}-{int(date[4:]):02}T{minute}"
                ).astimezone()
            except ValueError:
                # The 29th of February.
                continue
            if time <= now + timedelta(days=1):
                return time
    except (ValueError, OverflowError):
        pass
    return None


HEAD = re.compile(
    rb"^(?:\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) )?"
    rb"(?:\d{4}-\d\d-\d\d[T ]|[A-Z][a-z][a-z] [ \d]\d )\d\d:\d\d:\d\d[.,]\d+Z? "
    rb"\[(INFO|DEBUG|WARN|WARNING|ERROR|CRITICAL)\](?: \[([^\]\s]{1,160})\])? ?",
    re.MULTILINE,
)
"""The beginning of lines of hivemind's and of this program, for going through many of them.

Its groups are the level and the source, as `parse` gives them but for their names.
"""


def known_head(level: bytes, source: bytes | None) -> Parsed:
    """What `HEAD` has found, without the time."""
    return Parsed(None, _LEVEL_OF[level.decode()], (source or b"").decode("utf-8", "replace"))


class Folding:
    """Tells which lines belong to the one before: tracebacks and what is indented.

    Give it the lines of one file in their order.
    """

    def __init__(self) -> None:
        self._started = False
        self._indented = False
        self._traceback = False

    def continues(self, text: str) -> bool:
        """Whether the next line, `text`, belongs to the line before it."""
        text = without_engine_stamp(text)
        if not text or text.isspace():
            return self._traceback
        if text.startswith(_CONTINUING):
            belongs = self._started
            self._traceback = self._traceback or text.startswith(_CHAIN)
            self._indented = text.startswith((" ", "\t"))
        elif self._traceback:
            # The last line of a traceback says what was raised.
            belongs = self._indented and not has_head(text)
            self._traceback = belongs
            self._indented = False
        else:
            belongs = self._indented = False
        self._started = True
        return belongs


def continuation(text: str) -> bool:
    """Whether a line by itself looks as if it went on with the one before."""
    text = without_engine_stamp(text)
    return text.startswith(_CONTINUING) and not text.isspace()


def without_engine_stamp(text: str) -> str:
    """The line that a container wrote, without the stamp that its engine put before it."""
    if text[10:11] == "T" and text[:1].isdigit():
        stamp = _STAMP.match(text)
        if stamp is not None and _is_engine_stamp(stamp):
            return text[stamp.end() + 1 :]
    return text


def _is_engine_stamp(stamp: re.Match[str]) -> bool:
    text = stamp.string
    return bool(stamp["zone"]) and text[10:11] == "T" and text.startswith(" ", stamp.end())


def has_head(text: str) -> bool:
    """Whether a line begins with a time or a level: it does not go on with another."""
    return _STAMP.match(text) is not None or _WITHOUT_STAMP.match(text) is not None
