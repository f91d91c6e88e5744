"""Writing what is shown into a file."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.exporting import export_lines
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.views import WholeView

TOKEN = "hf_" + "x" * 30


@pytest.fixture
def view(tmp_path: Path) -> WholeView:
    file = tmp_path / "a.log"
    file.write_bytes(f"\x1b[31mred\x1b[0m \x1b[2J\nwith {TOKEN}\nlast".encode())
    return WholeView(LogSeries(file))


def test_lines_are_safe_and_without_tokens(tmp_path: Path, view: WholeView) -> None:
    told: list[float] = []
    target = tmp_path / "out.txt"
    assert export_lines(view, target, on_progress=told.append) == 3
    assert target.read_text("utf-8") == "red \u241b[2J\nwith [redacted]\nlast\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert told[-1] == 1.0


def test_bytes_can_stay_as_they_are_but_for_tokens(tmp_path: Path, view: WholeView) -> None:
    target = tmp_path / "out.txt"
    export_lines(view, target, sanitized=False, names=["app"])
    assert target.read_text("utf-8") == (
        "app: \x1b[31mred\x1b[0m \x1b[2J\napp: with [redacted]\napp: last\n"
    )


def test_a_long_line_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"x" * 200_000 + b"\n")
    series = LogSeries(file)
    target = tmp_path / "out.txt"
    part = series.parts[-1]
    export_lines(WholeView(series), target, whole=part.whole)
    assert target.stat().st_size == 200_001


def test_nothing_is_overwritten_or_left(tmp_path: Path, view: WholeView) -> None:
    target = tmp_path / "out.txt"
    target.write_bytes(b"mine")
    with pytest.raises(TorbizError) as caught:
        export_lines(view, target)
    assert caught.value.code == "file_exists"
    assert target.read_bytes() == b"mine"
    with pytest.raises(TorbizError) as caught:
        export_lines(view, tmp_path / "none" / "out.txt")
    assert caught.value.code == "not_written"
    stop = threading.Event()
    stop.set()
    assert export_lines(view, tmp_path / "stopped.txt", stop=stop) == 0
    assert not (tmp_path / "stopped.txt").exists()
