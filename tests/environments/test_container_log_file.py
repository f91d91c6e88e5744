"""container.log tells itself how far it goes: after a kill, a rotation, another container."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.environments.docker.log_file import ContainerLogFile
from torbiz_tui.environments.docker.log_lines import Position, StampedLine, advance

ONE, OTHER = "1" * 64, "2" * 64
LARGE = 5_000_000


def stamped(count: int, *, same: int = 1, word: str = "line") -> list[StampedLine]:
    return [
        StampedLine(f"2026-11-24T02:56:44.{number // same:09}Z", f"{word} {number}")
        for number in range(count)
    ]


def content(folder: Path) -> list[str]:
    """The lines of all files in their order, without the headings."""
    files = [folder / f"container.log{end}" for end in (".2", ".1", "")]
    text = b"".join(file.read_bytes() for file in files if file.exists()).decode()
    assert text.endswith("\n") or not text
    return [line for line in text.split("\n")[:-1] if not line.startswith("==== ")]


def as_written(lines: Sequence[StampedLine]) -> list[str]:
    return [f"{line.stamp} {line.text}" for line in lines]


def spool(
    folder: Path, lines: list[StampedLine], container: str = ONE, *, max_bytes: int = LARGE
) -> Position | None:
    """Write what is not there yet, as a new process does."""
    file = ContainerLogFile(folder / "container.log", "seeder", container, max_bytes=max_bytes)
    with contextlib.closing(file):
        found = position = file.position()
        left = lines[written(lines, position) :]
        for at in range(0, len(left), 3):
            batch = left[at : at + 3]
            file.append(batch, position)
            position = advance(position, batch)
    return found


def written(lines: list[StampedLine], position: Position | None) -> int:
    if position is None:
        return 0
    places = [at for at, line in enumerate(lines) if line.stamp == position.stamp]
    return places[position.count - 1] + 1


@given(
    st.integers(1, 30), st.integers(1, 7), st.lists(st.integers(0, 400), max_size=6), st.booleans()
)
def test_after_a_kill_at_any_byte_every_line_is_there_once(
    count: int, same: int, cuts: list[int], small: bool
) -> None:
    lines = stamped(count, same=same)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stops = sorted(cut % (count + 1) for cut in cuts)
        for stop, cut in zip(stops, cuts, strict=True):
            spool(folder, lines[:stop])
            with contextlib.suppress(FileNotFoundError):
                file = folder / "container.log"
                os.truncate(file, min(cut, file.stat().st_size))
        spool(folder, lines, max_bytes=700 if small else LARGE)
        assert content(folder) == as_written(lines)


@given(st.integers(1, 60), st.integers(1, 9), st.lists(st.integers(0, 60), max_size=8))
def test_rotation_loses_and_doubles_nothing(count: int, same: int, stops: list[int]) -> None:
    lines = stamped(count, same=same)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        got: list[str] = []
        for stop in [*sorted(min(stop, count) for stop in stops), count]:
            spool(folder, lines[:stop], max_bytes=300)
            held = content(folder)
            # Only the oldest goes.
            got += held[held.index(got[-1]) + 1 :] if got and got[-1] in held else held
            assert held == as_written(lines[:stop])[-len(held) :] or not held
        assert len(list(folder.iterdir())) <= 3


def test_the_position_is_found_when_the_new_file_is_still_empty(tmp_path: Path) -> None:
    lines = stamped(20)
    spool(tmp_path, lines[:10])
    (tmp_path / "container.log").rename(tmp_path / "container.log.1")
    (tmp_path / "container.log").touch()
    assert spool(tmp_path, lines) == Position(lines[9].stamp, 1)
    assert content(tmp_path) == as_written(lines)


def test_each_container_has_its_own_part(tmp_path: Path) -> None:
    one, other = stamped(9), stamped(7, word="other")
    spool(tmp_path, one[:4])
    spool(tmp_path, other[:2], OTHER)
    spool(tmp_path, one)
    spool(tmp_path, other, OTHER)
    text = (tmp_path / "container.log").read_text()
    headings = [line.split(" ")[3:] for line in text.splitlines() if line.startswith("==== ")]
    assert [heading[0] for heading in headings] == [ONE, OTHER, ONE, OTHER]
    assert headings[0][1:3] == ["from", one[0].stamp]
    assert headings[2][1:4] == ["after", one[3].stamp, "1"]
    assert content(tmp_path) == as_written(one[:4] + other[:2] + one[4:] + other[2:])


def test_no_heading_where_the_last_part_goes_on(tmp_path: Path) -> None:
    lines = stamped(9)
    for stop in range(1, 10):
        spool(tmp_path, lines[:stop])
    assert (tmp_path / "container.log").read_text().count("====") == 2


def test_emptied_or_removed_while_it_is_open_it_goes_on(tmp_path: Path) -> None:
    lines = stamped(9)
    file = ContainerLogFile(tmp_path / "container.log", "seeder", ONE)
    with contextlib.closing(file):
        file.append(lines[:3], None)
        os.truncate(tmp_path / "container.log", 0)
        file.append(lines[3:5], Position(lines[2].stamp, 1))
        assert content(tmp_path) == as_written(lines[3:5])
        (tmp_path / "container.log").unlink()
        file.append(lines[5:7], Position(lines[4].stamp, 1))
        assert content(tmp_path) == as_written(lines[5:7])
    assert spool(tmp_path, lines) == Position(lines[6].stamp, 1)
    assert content(tmp_path) == as_written(lines[5:])


def test_tokens_are_not_written(tmp_path: Path) -> None:
    spool(tmp_path, [StampedLine("2026-11-24T02:56:44Z", "with --token hf_abcdefghijkl")])
    assert "hf_abcdefghijkl" not in (tmp_path / "container.log").read_text()


def test_secrets_are_left_out_and_the_lines_around_them_are_not(tmp_path: Path) -> None:
    texts = [
        "a line --token",
        "is ended before the next one",
        "begun with --api-key sesame-open",
        'asked with {"api_key": "sesame-open"}',
        "GET /blocks?sig=sesame-open",
        "and on it goes",
    ]
    lines = [StampedLine(f"2026-11-24T02:56:44.{at}Z", text) for at, text in enumerate(texts)]
    file = ContainerLogFile(tmp_path / "container.log", "seeder", ONE)
    with contextlib.closing(file):
        file.append(lines, None)
    got = content(tmp_path)
    expected = as_written(lines)
    assert "sesame" not in "".join(got)
    assert got[:2] + got[5:] == expected[:2] + expected[5:]
    assert [line.count("[redacted]") for line in got] == [0, 0, 1, 1, 1, 0]


def test_a_link_that_the_container_made_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    (tmp_path / "container.log").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic"):
        spool(tmp_path, stamped(1))
    assert mine.read_text() == "mine\n"


def test_a_full_disk_leaves_whole_lines_and_nothing_double(small_disk: Path) -> None:
    lines = [StampedLine(line.stamp, line.text + "x" * 90_000) for line in stamped(600)]
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 20_000_000)
    file = ContainerLogFile(small_disk / "container.log", "seeder", ONE, max_bytes=10**9)
    position: Position | None = None
    with contextlib.closing(file):
        refused = 0
        for at in range(0, 300, 10):
            batch = lines[at : at + 10]
            try:
                file.append(batch, position)
            except OSError:
                refused += 1
                filler.unlink()
                file.append(batch, position)
            position = advance(position, batch)
        assert refused == 1
    assert content(small_disk) == as_written(lines[:300])
    assert (small_disk / "container.log").read_text().count("==== container") == 1
