"""What somebody reads: filters as they are written, views of them, moments and errors in them."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.logs.told import Told, shown
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.filter_words import filter_from, told
from torbiz_tui.logs.filtering import Filter, levels_from
from torbiz_tui.logs.finding import first_since, next_error
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.reading import Reading
from torbiz_tui.logs.sources import LogSource

NOW = datetime(2026, 3, 5, 12, 30).astimezone()
START = datetime(2026, 3, 5, 10, 0).astimezone()
TRACEBACK = 'Traceback (most recent call last):\n  File "x", line 1\nValueError: gone\n'


def line(minute: int, text: str, level: str = "INFO") -> str:
    stamp = f"{START + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S},000"
    return f"{stamp} [{level}] [petals.server] {text}\n"


def source(folder: Path, name: str, text: str) -> LogSource:
    file = folder / f"{name}.log"
    file.write_text(text)
    return LogSource(name, file, name)


def text_of(found: RawLine | None) -> str:
    return "" if found is None else found.data.decode().rpartition("] ")[2]


# Filters as they are written


@pytest.mark.parametrize(
    ("text", "wanted", "words"),
    [
        ("", Filter(), ""),
        ("  out of memory ", Filter("out of memory"), "“out of memory”"),
        ("/rpc_\\w+ failed/", Filter("rpc_\\w+ failed", regex=True), "/rpc_\\w+ failed/"),
        ("/var/log", Filter("/var/log"), "“/var/log”"),
        ('"level:error"', Filter("level:error"), "“level:error”"),
        ("http://x:80", Filter("http://x:80"), "“http://x:80”"),
        ("level:Warning", Filter(levels=levels_from("warning")), "warning and above"),
        ("level:critical", Filter(levels=levels_from("critical")), "critical"),
        (
            "source:server,hivemind",
            Filter(sources=frozenset({"server", "hivemind"})),
            "of hivemind, server",
        ),
        (
            'since:30m until:"yesterday 12:00" x',
            None,
            "",
        ),
        (
            "timeout since:30m level:error",
            Filter("timeout", levels=levels_from("error"), since=NOW - timedelta(minutes=30)),
            "error and above, since 12:00, “timeout”",
        ),
    ],
)
def test_a_filter_as_it_is_written(text: str, wanted: Filter | None, words: str) -> None:
    if wanted is None:
        with pytest.raises(TorbizError, match="that is before"):
            filter_from(text, NOW)
        return
    assert filter_from(text, NOW) == wanted
    assert told(wanted, NOW) == words


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("out level:eror memory", "level:eror: there is no such level, did you mean error?"),
        ("since:soon", "since:soon: that is no time."),
        ("levle:error", "levle:error: there is no levle:."),
        ("/a/ /b/", "/b/: there is a regular expression already."),
        ("/a/ b", "b: a text and a regular expression do not go together."),
        ("/(/", "'(' is no regular expression."),
    ],
)
def test_what_is_wrong_is_named(text: str, part: str) -> None:
    with pytest.raises(TorbizError) as caught:
        filter_from(text, NOW)
    assert caught.value.what == part
    assert caught.value.remedy


# Readings


def test_a_filter_is_another_view_and_can_be_switched_off(tmp_path: Path) -> None:
    told_of = Told()
    text = line(1, "one") + line(2, "two", "ERROR") + TRACEBACK
    reading = Reading([source(tmp_path, "app", text)], told_of)
    assert len(shown(reading.view)) == 5
    reading.use_filter("level:error")
    told_of.until(lambda: reading.view.complete)
    assert [one[:9] for one in shown(reading.view)[1:]] == ["Traceback", '  File "x', "ValueErro"]
    assert (reading.filter_text, reading.told_filter()) == ("level:error", "error and above")
    reading.toggle_filter()
    assert len(shown(reading.view)) == 5
    assert reading.told_filter() == "error and above (off)"
    reading.toggle_filter()
    told_of.until(lambda: reading.view.complete)
    assert len(shown(reading.view)) == 4
    reading.close()


def test_a_wrong_filter_changes_nothing(tmp_path: Path) -> None:
    reading = Reading([source(tmp_path, "app", line(1, "one"))])
    reading.use_filter("one")
    view = reading.view
    with pytest.raises(TorbizError):
        reading.use_filter("level:nothing")
    assert (reading.view, reading.filter_text) == (view, "one")
    reading.close()


def test_logs_that_come_are_merged_with_the_others(tmp_path: Path) -> None:
    told_of = Told()
    first = source(tmp_path, "a", line(1, "a1") + line(3, "a3"))
    reading = Reading([first, source(tmp_path, "b", line(2, "b2"))], told_of)
    told_of.until(lambda: reading.view.complete)
    before = reading.view.lines(0, 3)
    assert [(reading.label(one), text_of(one)) for one in before] == [
        ("a", "a1"),
        ("b", "b2"),
        ("a", "a3"),
    ]
    reading.extend([source(tmp_path, "c", line(0, "c0"))])
    told_of.until(lambda: reading.view.complete)
    after = reading.view.lines(0, 4)
    assert [reading.label(one) for one in after] == ["c", "a", "b", "a"]
    assert after[1:] == before, "lines stay what they were"
    reading.close()


def test_of_a_log_that_is_not_there_nothing_is_read_yet(tmp_path: Path) -> None:
    reading = Reading([LogSource("app", tmp_path / "app.log", "")])
    assert (reading.view.count, reading.size, reading.problem) == (0, 0, "")
    (tmp_path / "app.log").mkdir()
    reading.view.look()
    assert reading.problem.startswith("app.log: ")
    reading.close()


# Going somewhere


@pytest.mark.parametrize("filters", ["", "entry"])
def test_the_first_line_of_a_moment(tmp_path: Path, filters: str) -> None:
    told_of = Told()
    text = "".join(line(minute, f"entry {minute}") + "  more of it\n" for minute in range(900))
    reading = Reading([source(tmp_path, "app", "untimed entry\n" + text)], told_of)
    reading.use_filter(filters)
    told_of.until(lambda: reading.view.complete)
    for minute in (0, 1, 450, 899):
        moment = START + timedelta(minutes=minute)
        assert text_of(first_since(reading.view, moment)) == f"entry {minute}"
        assert text_of(first_since(reading.view, moment - timedelta(seconds=30))) == (
            f"entry {minute}"
        )
    assert first_since(reading.view, START + timedelta(minutes=900)) is None
    reading.close()


def test_the_first_line_of_a_moment_in_merged_logs(tmp_path: Path) -> None:
    told_of = Told()
    logs = [
        source(tmp_path, name, "".join(line(minute, f"{name}{minute}") for minute in minutes))
        for name, minutes in (("a", range(0, 400, 2)), ("b", range(1, 400, 2)))
    ]
    reading = Reading(logs, told_of)
    told_of.until(lambda: reading.view.complete)
    for minute in (0, 123, 200, 399):
        found = first_since(reading.view, START + timedelta(minutes=minute))
        assert text_of(found) == f"{'ba'[minute % 2 == 0]}{minute}"
    reading.close()


@pytest.mark.parametrize("filters", ["", "source:petals"])
def test_errors_down_and_up_each_once(tmp_path: Path, filters: str) -> None:
    told_of = Told()
    text = (
        line(0, "no error here, 0 errors")
        + line(1, "first", "ERROR")
        + TRACEBACK
        + line(2, "fine")
        + TRACEBACK
        + line(3, "second", "CRITICAL")
        + line(4, "Error rates are low")
    )
    reading = Reading([source(tmp_path, "app", text)], told_of)
    reading.use_filter(filters)
    told_of.until(lambda: reading.view.complete)
    stop = threading.Event()

    def all_errors(direction: int) -> list[str]:
        found: list[str] = []
        at = next_error(reading.view, None, direction, stop)
        while at is not None:
            found.append(text_of(at) if b"] " in at.data else at.data.decode()[:9])
            at = next_error(reading.view, at, direction, stop)
        return found

    expected = ["first", "Traceback", "second"]
    assert all_errors(1) == expected
    assert all_errors(-1) == expected[::-1]
    first = next_error(reading.view, None, 1, stop)
    assert next_error(reading.view, first, -1, stop, itself=True) == first
    stop.set()
    assert next_error(reading.view, None, 1, stop) is None
    reading.close()


def test_switching_the_filter_begins_nothing_anew(tmp_path: Path) -> None:
    told_of = Told()
    reading = Reading([source(tmp_path, "app", line(1, "one") + line(2, "two"))], told_of)
    everything = reading.view
    reading.use_filter("two")
    filtered = reading.view
    told_of.until(lambda: reading.view.complete)
    reading.toggle_filter()
    assert reading.view is everything
    reading.toggle_filter()
    assert reading.view is filtered
    with (tmp_path / "app.log").open("a") as file:
        file.write(line(3, "two again"))
    reading.view.look()
    told_of.until(lambda: reading.view.count == 2)
    reading.use_filter("")
    assert reading.view is everything
    reading.close()


def test_what_rests_goes_on_later(tmp_path: Path) -> None:
    told_of = Told()
    text = "".join(line(number % 900, f"entry {number}") for number in range(60_000))
    reading = Reading([source(tmp_path, "app", text)], told_of)
    reading.use_filter("level:info")
    reading.rest()
    done = -1.0
    while done != reading.view.progress:
        # The piece that it is at is finished.
        done = reading.view.progress
        time.sleep(0.2)
    assert not reading.view.complete
    reading.resume()
    told_of.until(lambda: reading.view.complete)
    assert reading.view.count == 60_000
    reading.close()
