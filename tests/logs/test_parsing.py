"""What lines of the programs that occur say of themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.logs import parsing
from torbiz_tui.logs.decoding import decode_line, shown_line
from torbiz_tui.logs.parsing import Folding, Parsed, parse
from torbiz_tui.logs.sanitizing import sanitize_line

TIME = datetime(2025, 11, 24, 2, 56, 44, 102_000, UTC)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    parsing._minute.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    parsing._minute.cache_clear()


@pytest.mark.parametrize(
    ("line", "level", "source", "message"),
    [
        # This program.
        ("2025-11-24 02:56:44.102 [INFO] [torbiz.app] started", "info", "torbiz.app", "started"),
        # Python's default, and what most people configure.
        ("2025-11-24 02:56:44,102 - petals.cli - WARNING - hm", "warning", "petals.cli", "hm"),
        ("2025-11-24 02:56:44,102 ERROR no luck", "error", "", "no luck"),
        # libp2p's daemon.
        (
            "2025-11-24T02:56:44.102Z\tDEBUG\tdht\tdht.go:12\tping",
            "debug",
            "",
            "dht\tdht.go:12\tping",
        ),
        # A container's line, with and without a head of its own.
        ("2025-11-24T02:56:44.102468461Z Killed", "error", "", "Killed"),
        (
            "2025-11-24T02:56:44.102000461Z Nov 24 02:56:44.101 [WARN] [petals.server.run:7] slow",
            "warning",
            "petals.server.run:7",
            "slow",
        ),
        ("2025-11-24T03:56:44.102+01:00 plain", "", "", "plain"),
        (
            '{"time": "2025-11-24T02:56:44.102Z", "level": "warn", "logger": "a", "msg": "hi"}',
            "warning",
            "a",
            'hi"}',
        ),
        ('{"ts": 1763953004.102, "severity": "CRITICAL", "message": "hi"}', "critical", "", 'hi"}'),
    ],
)
def test_lines_with_a_time(line: str, level: str, source: str, message: str) -> None:
    parsed = parse(line)
    assert parsed.time is not None
    assert abs(parsed.time - TIME) < timedelta(milliseconds=1)
    assert (parsed.level, parsed.source, line[parsed.message_at :]) == (level, source, message)


@pytest.mark.parametrize(
    ("line", "level", "source"),
    [
        ("INFO:torbiz.app:hello", "info", "torbiz.app"),
        ('INFO:     127.0.0.1:51 - "GET / HTTP/1.1" 200 OK', "info", ""),
        ("[ERROR] no", "error", ""),
        ("error: the lock file needs to be updated", "error", ""),
        ("P2PDaemonError: Daemon failed to start in 60.0 seconds", "error", ""),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", "error", ""),
        ("KeyboardInterrupt", "error", ""),
        ("FutureWarning: soon", "warning", ""),
        ("Traceback (most recent call last):", "error", ""),
        ("Information for users", "", ""),
        ("no errors were found", "", ""),
        ("2025-99-99 99:99:99 no time", "", ""),
        ("{not json", "", ""),
        ("", "", ""),
    ],
)
def test_lines_without_a_time(line: str, level: str, source: str) -> None:
    parsed = parse(line)
    assert (parsed.time, parsed.level, parsed.source) == (None, level, source)


def test_a_stamp_without_a_year_is_of_the_latest_that_fits() -> None:
    """hivemind's, as of whatever today is."""
    now = datetime.now().astimezone()
    for days in (0, 1, 30, 200, 363):
        then = (now - timedelta(days=days)).replace(microsecond=0)
        line = f"{then:%b %d %H:%M:%S}.000 [INFO] [petals.server.server.run:241] hello"
        assert parse(line) == Parsed(
            then, "info", "petals.server.server.run:241", line.index("hello")
        )
    leap = parse("Feb 29 00:00:00.000 [INFO] rare").time
    assert leap is not None
    assert (leap.month, leap.day) == (2, 29)


@given(st.text() | st.from_regex(parsing._STAMP) | st.text("{[\"':,0123456789tTsS]} "))
def test_nothing_raises(text: str) -> None:
    parsed = parse(text)
    assert 0 <= parsed.message_at <= len(text)
    Folding().continues(text)


@given(st.binary())
def test_any_bytes_are_text(data: bytes) -> None:
    assert "\n" not in decode_line(data.replace(b"\n", b"") + b"\r\n")
    assert shown_line(data).isprintable() or "\t" in shown_line(data) or not data.isascii()


def test_valid_text_is_not_changed() -> None:
    assert decode_line("caf\u00e9 \x00\x1b[1m\rx\r\n".encode()) == "caf\u00e9 \x00\x1b[1m\rx"
    assert decode_line(b"\xff\xc3") == "\ufffd\ufffd"
    assert shown_line(b"\x1b[31m10%\r20%\r\r\n") == "20%"
    assert shown_line(b"a\x00b") == sanitize_line("a\x00b") == "a\u2400b"
    token = "hf_" + "x" * 30
    assert token not in shown_line(f"with {token[:5]}\x1b[1m{token[5:]}".encode())


def test_tracebacks_are_folded_into_their_line() -> None:
    folding = Folding()
    expected = [
        ("Nov 24 02:56:44.102 [ERROR] [a.b:1] failed", False),
        ("Traceback (most recent call last):", True),
        ('  File "a.py", line 1, in f', True),
        ("    f()", True),
        ("ValueError: no", True),
        ("", True),
        ("During handling of the above exception, another exception occurred:", True),
        ("", True),
        ("Traceback (most recent call last):", True),
        ('  File "a.py", line 2, in g', True),
        ("petals.NoSuch: what", True),
        ("Nov 24 02:56:44.102 [INFO] go on", False),
        ("    indented", True),
        ("", False),
        ("plain", False),
        ("OSError: alone", False),
        ("2025-11-24T02:56:44.1Z head", False),
        ("2025-11-24T02:56:44.1Z   indented", True),
        ("2025-11-24T02:56:44.1Z Traceback (most recent call last):", True),
        ('2025-11-24T02:56:44.1Z   File "a.py", line 2, in g', True),
        ("2025-11-24T02:56:44.1Z ValueError", True),
        ("2025-11-24T02:56:44.1Z next", False),
    ]
    assert [(line, folding.continues(line)) for line, _ in expected] == expected
