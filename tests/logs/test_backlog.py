"""What a log has to say already: its last lines, and what fits of all, in pieces of any size."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs.test_filtering import START, WANTED, logs
from torbiz_tui.logs import backlog
from torbiz_tui.logs.backlog import Backlog, last_place, time_at
from torbiz_tui.logs.filtering import Filter, LineFilter
from torbiz_tui.logs.following import Follower
from torbiz_tui.logs.log_series import LogSeries


def rest(follower: Follower) -> list[str]:
    lines: list[str] = []
    while True:
        lines += follower.read()
        if follower.caught_up:
            return lines + follower.finish()


def written(folder: str, data: bytes, cuts: list[int]) -> Path:
    """A log with this content, in as many rotated files as there are cuts, and one more."""
    file = Path(folder) / "a.log"
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for age, (start, end) in enumerate(zip(borders[-2::-1], borders[:0:-1], strict=True)):
        name = file.name if not age else f"{file.name}.{age}"
        file.with_name(name).write_bytes(data[start:end])
    return file


@given(logs(), WANTED, st.integers(1, 400), st.lists(st.integers(0, 12), max_size=2), st.booleans())
@settings(deadline=None, max_examples=300)
def test_the_backlog_and_what_follows_it_is_all_that_fits(
    lines: list[str], wanted: Filter, piece: int, cuts: list[int], ended: bool
) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    if not ended:
        data = data.removesuffix(b"\n")
    # Files begin with a record: what was rotated away is closed with its last one.
    heads = [
        at for at in range(len(data)) if data[at - 1 : at] == b"\n" and data[at : at + 2] == b"20"
    ]
    borders = [heads[cut] for cut in cuts if cut < len(heads)]
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(backlog, "_PIECE", piece):
        series = LogSeries(written(folder, data, borders))
        reading = Backlog(series, wanted)
        found = [line for lines in reading.pieces() for line in lines]
        after = LineFilter(wanted, time=time_at(series, reading.place))
        follower = Follower(series, reading.place)
        found += after.feed(rest(follower))
        follower.close()
    whole = data.decode().removesuffix("\n").split("\n") if data else []
    assert found == LineFilter(wanted).feed(whole)


@given(
    st.lists(st.text("ab", max_size=3), max_size=20),
    st.integers(0, 25),
    st.lists(st.integers(0, 60), max_size=3),
    st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_the_last_lines_are_also_those_that_were_rotated_away(
    lines: list[str], count: int, cuts: list[int], ended: bool
) -> None:
    data = "\n".join(lines).encode() + b"\n" * (ended and bool(lines))
    ends = [at + 1 for at in range(len(data)) if data[at : at + 1] == b"\n"]
    expected = data.decode().removesuffix("\n").split("\n") if data else []
    with tempfile.TemporaryDirectory() as folder:
        series = LogSeries(written(folder, data, [ends[cut] for cut in cuts if cut < len(ends)]))
        place, found = last_place(series, count)
        follower = Follower(series, place)
        got = rest(follower)
        follower.close()
    assert found == len(got)
    assert got == (expected[-count:] if count else [])


def test_a_line_longer_than_a_piece_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    long = "needle " + "x" * (6 * 2**20)
    file.write_text(f"hay\n{long}\nhay\nlast\n")
    pieces = list(Backlog(LogSeries(file), Filter(text="needle")).pieces())
    assert [line for lines in pieces for line in lines] == [long]


def test_lines_between_two_moments(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    moments = [START + timedelta(minutes=number) for number in range(10)]
    with file.open("w") as stream:
        for number, moment in enumerate(moments):
            stream.write(f"{moment:%Y-%m-%dT%H:%M:%S}Z [INFO] {number}\nbare {number}\n")
    series = LogSeries(file)
    wanted = Filter(since=moments[2], until=moments[4])
    reading = Backlog(series, wanted)
    found = [line.split()[-1] for lines in reading.pieces() for line in lines]
    assert found == ["2", "2", "3", "3", "4", "4"]
    assert time_at(series, reading.place) == moments[9]
    after = LineFilter(wanted, time=time_at(series, reading.place))
    assert after.feed(["bare", "more"]) == []


def test_a_log_that_is_copied_and_truncated_meanwhile_is_read_on_in_its_copy(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.log"
    file.write_text("".join(f"needle {number}\n" for number in range(1000)))
    series = LogSeries(file)
    with mock.patch.object(backlog, "_PIECE", 200):
        reading = Backlog(series, Filter(text="needle"))
        pieces = reading.pieces()
        found = next(pieces)
        (tmp_path / "a.log.1").write_bytes(file.read_bytes())
        file.write_text("needle new\n")
        found += [line for lines in pieces for line in lines]
    found += rest(Follower(series, reading.place))
    assert found == [*(f"needle {number}" for number in range(1000)), "needle new"]
