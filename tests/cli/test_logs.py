"""`logs`: what it chooses, in which order, how it looks, and that it goes on through rotations."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_processes import PROGRAM, ROOT, read_some, run, started
from tests.promptness import seconds_computed
from tests.terminal import Terminal
from torbiz_tui.cli import main
from torbiz_tui.commands.logs_options import LEVELS
from torbiz_tui.logs import parsing, query

Capture = pytest.CaptureFixture[str]

SEEDER = """\
2026-11-24 20:00:00,000 [INFO] [petals.server] begins
2026-11-24 20:10:00,000 [ERROR] [petals.cli] could not listen
Traceback (most recent call last):
  File "a.py", line 3, in <module>
    bind()
OSError: [Errno 98] Address already in use
2026-11-24 20:11:00,000 [WARN] [hivemind.dht] something is slow
2026-11-24 20:13:00,000 [INFO] [hivemind.dht] Needle found
"""
APP = """\
2026-11-24 20:10:30,000 [INFO] [torbiz.app] opened
2026-11-24 20:12:30,000 [CRITICAL] [torbiz.app] closed
bare"""


@pytest.fixture
def logs(home: Path) -> Path:
    folder = home / "logs"
    folder.mkdir(parents=True)
    (folder / "petals_seeder.log").write_text(SEEDER)
    (folder / "app.log").write_text(APP)
    return folder


def printed(capsys: Capture, *arguments: str, code: int = 0) -> list[str]:
    """The last words of the lines that a call prints, the headings whole."""
    assert main(["logs", *arguments]) == code
    lines = capsys.readouterr().out.splitlines()
    return [line if line.startswith("==>") else line.rsplit(" ", 1)[-1] for line in lines if line]


def test_sources_are_printed_in_the_order_in_which_they_are_named(
    logs: Path, capsys: Capture
) -> None:
    expected = ["==> app <==", "bare", "==> seeder <==", "found"]
    assert printed(capsys, "app", "seeder", "app", "-n", "1") == expected
    assert printed(capsys, "--source", "app", "--source", "petals_seeder.log", "-n1") == expected


@pytest.mark.parametrize(
    ("options", "last_words"),
    [
        ("--grep needle", ["found"]),
        ("--grep NEEDLE", []),
        ("--grep n[aeiou]+dle", ["found"]),
        ("--grep bind", ["listen", "last):", "<module>", "bind()", "use"]),
        ("--level warning", ["listen", "last):", "<module>", "bind()", "use", "slow"]),
        ("--level error --grep slow", []),
        ("--since 2026-11-24T20:10:01", ["slow", "found"]),
        ("--until '2026-11-24 20:00'", ["begins"]),
        ("--since 2026-11-24T20:11 --until 2026-11-24T20:12", ["slow"]),
        ("-n 2 --grep found|slow|begins", ["slow", "found"]),
        ("-n 0", []),
    ],
)
def test_lines_are_chosen(logs: Path, capsys: Capture, options: str, last_words: list[str]) -> None:
    assert printed(capsys, "seeder", *shlex.split(options)) == last_words


def test_what_was_rotated_away_belongs_to_the_log(logs: Path, capsys: Capture) -> None:
    file = logs / "app.log"
    file.write_text("c\nd\n")
    file.with_name("app.log.1").write_text("b needle\n")
    file.with_name("app.log.2").write_text("a\n")
    assert printed(capsys, "app") == ["a", "needle", "c", "d"]
    assert printed(capsys, "app", "-n", "3") == ["needle", "c", "d"]
    assert printed(capsys, "app", "--grep", "needle|d") == ["needle", "d"]


def test_a_recent_time_is_one_before_now(logs: Path, capsys: Capture) -> None:
    now = datetime.now().astimezone()
    lines = [
        f"{now - timedelta(minutes=age):%Y-%m-%d %H:%M:%S} [INFO] {age}" for age in (90, 30, 5)
    ]
    (logs / "app.log").write_text("".join(f"{line}\n" for line in lines))
    assert printed(capsys, "app", "--since", "1h") == ["30", "5"]
    assert printed(capsys, "app", "--since", "2h", "--until", "10m") == ["90", "30"]


def test_several_logs_are_merged_by_time(logs: Path, capsys: Capture) -> None:
    assert main(["logs", "--merge"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seeder    | 2026-11-24 20:00:00,000 [INFO] [petals.server] begins"
    assert [line.rsplit(" ", 1)[-1] for line in lines] == [
        *("begins", "listen", "last):", "<module>", "bind()", "use"),
        *("opened", "slow", "closed", "bare", "found"),
    ]
    # Of all together, and these are filtered.
    assert printed(capsys, "--merge", "-n", "3") == ["closed", "bare", "found"]
    assert printed(capsys, "--merge", "-n", "3", "--level", "critical") == ["closed"]
    assert printed(capsys, "--merge", "--level", "error", "--grep", "bind|closed") == [
        *("listen", "last):", "<module>", "bind()", "use", "closed"),
    ]


def test_merging_many_lines_loses_none(logs: Path, capsys: Capture) -> None:
    moment = datetime(2026, 1, 1)  # noqa: DTZ001
    chosen = random.Random(7)
    names = ["seeder", "app", "setup"]
    texts: dict[str, list[str]] = {name: [] for name in names}
    expected: list[str] = []
    for number in range(3000):
        moment += timedelta(milliseconds=chosen.randint(1, 900))
        line = f"{moment:%Y-%m-%d %H:%M:%S,%f} [INFO] {number}"
        texts[chosen.choice(names)].append(line)
        expected.append(str(number))
    for name, file in zip(names, ("petals_seeder.log", "app.log", "setup.log"), strict=True):
        (logs / file).write_text("".join(f"{line}\n" for line in texts[name]))
    assert printed(capsys, "--merge", "-n", "100000") == expected
    assert printed(capsys, "--merge", "-n", "777") == expected[-777:]


def test_known_troubles_are_explained_once(logs: Path, capsys: Capture) -> None:
    file = logs / "petals_seeder.log"
    file.write_text(SEEDER * 2)
    assert main(["logs", "seeder", "--explain", "--level", "error"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("OSError: [Errno 98] Address already in use")
    assert lines[at + 1] == "  ^ The port is taken."
    assert "--port" in lines[at + 3]
    assert sum("The port is taken." in line for line in lines) == 1
    assert lines.count("OSError: [Errno 98] Address already in use") == 2


def test_json_has_an_object_for_each_line(logs: Path, capsys: Capture) -> None:
    (logs / "app.log").write_text(
        "\x1b[31mred\x1b[0m \x1b]0;evil\x07 --token hf_abcdefgh12345678\n"
    )
    assert main(["logs", "seeder", "app", "--json", "--explain"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(objects) == 9
    first = datetime(2026, 11, 24, 20).astimezone().isoformat()
    assert objects[0] == {
        "time": first,
        "level": "info",
        "source": "seeder",
        "logger": "petals.server",
        "message": "begins",
        "explanation": None,
    }
    # What goes on with a line has its time and level.
    assert objects[5]["message"] == "OSError: [Errno 98] Address already in use"
    assert (objects[5]["level"], objects[5]["time"]) == (objects[1]["level"], objects[1]["time"])
    assert objects[5]["explanation"]["id"] == "port_taken"
    assert objects[8]["message"] == "red ␛]0;evil␇ --token [redacted]"
    assert (objects[8]["time"], objects[8]["level"]) == (None, None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--level warn", "--level: 'warn' is not known; did you mean warning?"),
        ("--since soon", "--since: 'soon' is no time; accepted is a time ago"),
        ("--until 25:00", "--until: '25:00' is no time"),
        ("--since 1m --until 2m", "--until is before --since."),
        ("--source seedr", "There is no log 'seedr'; did you mean seeder?"),
        ("--lines many", "-n/--lines: 'many' is not accepted: give a number of lines."),
    ],
)
def test_a_value_that_means_nothing_is_named(
    logs: Path, capsys: Capture, options: str, sentence: str
) -> None:
    assert main(["logs", *options.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err


def test_an_expression_that_takes_for_ever_is_named(
    logs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "_LINE_S", 0.02)
    (logs / "setup.log").write_text("a" * 80 + "b\n")
    for options in ((), ("-n", "5"), ("--source", "app", "--merge")):
        assert main(["logs", "setup", *options, "--grep", "(a|aa)+$"]) == 1
        assert "The expression '(a|aa)+$' takes too long." in capsys.readouterr().err


def test_the_levels_are_those_of_the_logs() -> None:
    assert LEVELS == parsing.LEVELS


@pytest.fixture
def open_to_all(logs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same logs where every user may look for them."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(logs.parent, home)
        for place in (Path(folder), home, home / "logs"):
            place.chmod(0o777)
        monkeypatch.setenv("TORBIZ_HOME", str(home))
        (home / "logs" / "app.log").chmod(0)
        yield home


@pytest.mark.usefixtures("open_to_all", "nobody")
def test_a_log_that_cannot_be_read_is_told(capsys: Capture) -> None:
    assert main(["logs", "app"]) == 1
    assert "The log app cannot be read: Permission denied." in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_log_is_told(logs: Path, capsys: Capture) -> None:
    (logs / "app.log").unlink()
    (logs / "app.log").mkdir()
    assert main(["logs", "app"]) == 1
    assert "The log app cannot be read:" in capsys.readouterr().err


def terminal(*arguments: str, **environ: str) -> Terminal:
    return Terminal([*PROGRAM, *arguments], environ=environ | home_of(), cwd=str(ROOT))


def home_of() -> dict[str, str]:
    return {"TORBIZ_HOME": os.environ["TORBIZ_HOME"]}


def test_a_terminal_gets_colours_and_a_pipe_does_not(logs: Path) -> None:
    coloured = terminal("logs", "--merge", "--level", "warning", "--grep", "listen|closed|slow")
    assert coloured.wait_end() == 0
    text = coloured.written.decode()
    assert (
        "\x1b[31m2026-11-24 20:10:00,000 [ERROR] [petals.cli] could not \x1b[7mlisten\x1b[27m"
        in text
    )
    assert "\x1b[1;31m2026-11-24 20:12:30,000 [CRITICAL]" in text
    assert "\x1b[33m2026-11-24 20:11:00,000 [WARN]" in text
    # A traceback has the colour of its line, and nothing but the 16 colours is used.
    assert "\x1b[31m    bind()" in text
    assert "\x1b[38" not in text
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = terminal("logs", "--merge", **plain)
        assert shown.wait_end() == 0
        assert b"\x1b" not in shown.written
    assert "\x1b" not in run("logs", "--merge").stdout


def test_it_follows_through_rotations_and_keeps_the_filter(logs: Path) -> None:
    file = logs / "app.log"
    file.write_text("needle 0\nhay\n")
    with started(*PROGRAM, "logs", "app", "-f", "--grep", "needle") as process:
        assert read_some(process, 9) == "needle 0\n"
        with file.open("a") as stream:
            stream.write("needle 1\nhay\n")
        file.rename(file.with_name("app.log.1"))
        file.write_text("hay\nneedle 2\n")
        assert read_some(process, 18) == "needle 1\nneedle 2\n"
        with file.open("a") as stream:
            stream.write("needle 3\n")
        shutil.copy(file, file.with_name("app.log.1"))
        with file.open("r+") as stream:
            stream.truncate()
        with file.open("a") as stream:
            stream.write("needle 4\n")
        assert read_some(process, 18) == "needle 3\nneedle 4\n"
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, "Interrupted.\n")


def test_it_follows_merged_and_finds_logs_that_appear(logs: Path) -> None:
    (logs / "petals_seeder.log").write_text("2026-01-01 00:00:00 old\n")
    (logs / "app.log").write_text("")
    with started(*PROGRAM, "logs", "-f", "--merge") as process:
        first = "seeder    | 2026-01-01 00:00:00 old\n"
        assert read_some(process, len(first)) == first
        (logs / "other.log").write_text("2026-01-01 00:00:03 of another\n")
        other = "other | 2026-01-01 00:00:03 of another\n"
        assert read_some(process, len(other)) == other
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


def test_looking_through_a_big_log_is_interrupted_at_once(logs: Path) -> None:
    (logs / "app.log").write_text("needle\n" + "hay hay hay\n" * 3_000_000)
    with started(*PROGRAM, "logs", "app", "--grep", "needle", "-n", "100000000") as process:
        assert read_some(process, 7) == "needle\n"
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, "Interrupted.\n")


def test_the_end_of_a_huge_log_is_there_at_once(logs: Path) -> None:
    file = logs / "app.log"
    with file.open("wb") as stream:
        # A hole of 1 GB takes no disk, and is one line without an end.
        stream.truncate(10**9)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n" + b"".join(b"line %d\n" % number for number in range(5000)))

    def print_its_end() -> None:
        assert run("logs", "app", "-n", "2").stdout == "line 4998\nline 4999\n"

    assert seconds_computed(print_its_end) < 5
