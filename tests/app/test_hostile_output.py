"""Log lines that would take over a terminal leave it alone: the bytes that the real program writes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
F4, CTRL_Q = "\x1bOS", "\x11"
ENTER, ESC = "\r", "\x1b"

# Each does something to a terminal that takes it as it is; the words tell what came through.
HOSTILE = (
    b"title \x1b]0;owned\x07 \x1b]2;owned\x1b\\",
    b"clipboard \x1b]52;c;b3duZWQ=\x07 \x1b]52;c;b3duZWQ=\x1b\\",
    b"link \x1b]8;;http://owned\x07text\x1b]8;;\x07",
    b"cursor \x1b[77;33H\x1b[77A\x1b[77G\x1b[2J\x1b[77L\x1b7\x1b8\x1bM",
    b"colour \x1b[5;35;44mblink\x1b[48:2::1:2:3mgrey\x1b[m",
    b"modes \x1b[?1049l\x1b[?1003l\x1b[?25h\x1b[?2004l\x1b[?1000;77h\x1bc\x1b[!p",
    b"answers \x1b[6n\x1b[c\x1b[>q\x1b[21t\x1b]11;?\x07\x05",
    b"strings \x1bP1;q#0owned\x1b\\ \x1b_owned\x1b\\ \x1b^owned\x1b\\ \x1bXowned\x1b\\",
    b"c1 \xc2\x9b31m \xc2\x9d0;owned\xc2\x9c \xc2\x90q\xc2\x9c \x9b31m \x9d0;owned\x9c \x85",
    b"bidi \xe2\x80\xaegnp.exe\xe2\x80\xac \xe2\x81\xa6hidden\xe2\x81\xa9 \xe2\x80\x8bzero",
    b"control \x00\x07\x08\x0b\x0c\x0e\x0f\x7f\x1a",
    b"markup [bold red]loud[/] [@click=app.quit]go[/] [link=http://owned]x[/link]",
    b"cut \x1b]0;owned",
    b"\x07 rest \x1b[",
    b"77;33H rest \xe2\x80",
)
FORBIDDEN = (
    b"\x1b]0", b"\x1b]2;", b"\x1b]52", b"\x1b]8", b"\x1b]11", b"\x1b[77", b"\x1b[5;35",
    b"\x1b[48:", b"\x1b[?1000;77h", b"\x1bc", b"\x1b[!p", b"\x1b[6n", b"\x1b[c", b"\x1b[>q",
    b"\x1b[21t", b"\x1bP1", b"\x1b_", b"\x1b^", b"\x1bX", b"\x1b7", b"\x1b8", b"\x1bM",
    b"\x00", b"\x05", b"\x07", b"\x0b", b"\x0c", b"\x0e", b"\x0f", b"\x1a", b"\x7f",
)  # fmt: skip


def written_lines(stage: str) -> list[bytes]:
    return [
        b"2026-11-24 20:00:00,%03d [INFO] [petals] %s %s\n" % (at, stage.encode(), line)
        for at, line in enumerate(HOSTILE)
    ]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "home" / "logs" / "petals_seeder.log"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"".join(written_lines("before")))
    return file


def program(log: Path, *arguments: str, **options: int) -> Terminal:
    argv = [sys.executable, "-m", "torbiz_tui.cli", *arguments]
    home = str(log.parents[1])
    return Terminal(argv, environ={"TORBIZ_HOME": home}, cwd=str(ROOT), **options)


@pytest.fixture
def app(log: Path) -> Iterator[Terminal]:
    terminal = program(log, "--demo", columns=80, rows=24)
    yield terminal
    terminal.close()


def require_untouched(written: bytes) -> None:
    """Nothing of it came through, in any form that a terminal understands."""
    for sequence in FORBIDDEN:
        assert sequence not in written, sequence
    text = written.decode("utf-8")
    bad = set("\u202e\u202c\u2066\u2069\u200b") | {chr(code) for code in range(0x80, 0xA0)}
    assert not set(text) & bad


def test_the_logs_screen_shows_them_as_text_also_those_that_come(app: Terminal, log: Path) -> None:
    app.wait_for("Set up this machine|Ask a question")
    app.send(F4)
    app.wait_for("before markup")
    app.wait_for("before 77;33H rest")
    # A few at a time, so that each of them is seen.
    lines = written_lines("live")
    for first in range(0, len(lines), 5):
        with log.open("ab") as stream:
            stream.write(b"".join(lines[first : first + 5]))
        last = min(first + 5, len(lines)) - 1
        app.wait_for(f",{last:03} .* live")
    # Everything once more, with what marks a line: search, the filter, moving.
    app.send("g")
    app.wait_for("before title")
    app.send("/")
    app.wait_for("Search .*Capitals matter")
    app.send("owned" + ENTER)
    app.wait_for("match")
    app.send("n")
    app.send("G")
    app.wait_for("live 77;33H rest")
    app.send(CTRL_Q)
    assert app.wait_end() == 0, app.text
    written = bytes(app.written)
    assert b"[bold red]loud[/]" in written
    assert b"owned" in written
    # The driver sets the shape of the pointer, and these modes; it ends them after all text.
    own = re.compile(rb"\x1b\]22;[a-z-]*\x07|\x1b\[\?(1049|1003|25|2004)[hl]")
    require_untouched(own.sub(b"", written))
    for mode in (b"\x1b[?1049l", b"\x1b[?1003l", b"\x1b[?2004l"):
        assert written.find(mode) > written.rfind(b"[petals]"), mode


def test_the_command_logs_prints_them_as_text(log: Path) -> None:
    terminal = program(log, "logs", "seeder", "-f", rows=60, columns=160)
    try:
        terminal.wait_for("before 77;33H rest")
        with log.open("ab") as stream:
            stream.write(b"".join(written_lines("live")))
        terminal.wait_for("live 77;33H rest")
        require_untouched(bytes(terminal.written))
    finally:
        terminal.close()
