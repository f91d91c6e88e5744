"""Following a log whatever becomes of its file: no line lost, none doubled, none torn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from torbiz_tui.logs.following import Follower
from torbiz_tui.logs.log_series import LogSeries
from torbiz_tui.logs.rotation import bound
from torbiz_tui.logs.views import WholeView


def read_all(follower: Follower) -> list[str]:
    lines: list[str] = []
    while True:
        lines += follower.read()
        if follower.caught_up:
            return lines


class LogMachine(RuleBasedStateMachine):
    """A writer, whoever rotates its log, and readers who look now and then."""

    @initialize(before=st.booleans())
    def begin(self, before: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.place = self.folder / "one"
        self.place.mkdir()
        (self.folder / "logs").symlink_to(self.place)
        self.file = self.folder / "logs" / "a.log"
        self.written: list[str] = []
        self.got: list[str] = []
        self.unfinished = ""
        if before:
            # What was rotated away earlier is not followed.
            (self.place / "a.log.1").write_bytes(b"old\n")
            (self.place / "a.log.2").write_bytes(b"older\n")
        self.follower = Follower(self.file)

    def append(self, data: str) -> None:
        with self.file.open("ab") as stream:
            stream.write(data.encode())

    @rule(count=st.integers(1, 4), size=st.integers(0, 30), crlf=st.booleans())
    def write_lines(self, count: int, size: int, crlf: bool) -> None:
        if self.blocked():
            return
        for _ in range(count):
            line = self.unfinished + f"{len(self.written)} é\x00{'x' * size}"
            self.append(line[len(self.unfinished) :] + ("\r\n" if crlf else "\n"))
            self.unfinished = ""
            self.written.append(line)

    @rule()
    def write_half_a_line(self) -> None:
        if not self.blocked():
            self.append(half := f"half {len(self.written)} ")
            self.unfinished += half

    @rule()
    def read(self) -> None:
        self.got += read_all(self.follower)

    @rule(keep=st.integers(1, 3))
    def rotate_by_renaming(self, keep: int) -> None:
        self.finish_line()
        if self.blocked() or not self.file.exists():
            return
        self.shift(keep)
        self.file.rename(f"{self.file}.1")

    @rule(keep=st.integers(1, 3))
    def rotate_by_copying(self, keep: int) -> None:
        self.finish_line()
        if self.blocked() or not self.file.exists():
            return
        # Without a reading here what is copied has to come from the copy.
        self.shift(keep)
        Path(f"{self.file}.1").unlink(missing_ok=True)
        shutil.copyfile(self.file, f"{self.file}.1")
        os.truncate(self.file, 0)

    @rule()
    def rotate_ours(self) -> None:
        self.finish_line()
        if not self.blocked() and self.file.exists():
            self.read()
            bound(self.file, max_bytes=0, kept=2)

    @rule()
    def replace(self) -> None:
        """As an editor or a deployment does it: a new file under the old name."""
        self.finish_line()
        if not self.blocked():
            self.read()
            new = self.place / "new"
            new.write_bytes(b"")
            new.rename(self.file)

    @rule()
    def empty(self) -> None:
        self.finish_line()
        if not self.blocked() and self.file.exists():
            self.read()
            os.truncate(self.file, 0)

    @rule()
    def delete(self) -> None:
        self.finish_line()
        if not self.blocked() and self.file.exists():
            self.read()
            self.file.unlink()

    @rule()
    def put_a_folder_in_its_place(self) -> None:
        self.finish_line()
        if self.file.is_dir():
            self.file.rmdir()
        elif not self.file.exists():
            self.file.mkdir()

    @rule(to=st.sampled_from(["one", "two"]))
    def switch_the_link(self, to: str) -> None:
        self.finish_line()
        self.read()
        (self.folder / to).mkdir(exist_ok=True)
        for old in (self.folder / to).glob("a.log*"):
            if old.is_file() and to != self.place.name:
                old.unlink()
        self.place = self.folder / to
        new = self.folder / "link"
        new.symlink_to(self.place)
        new.rename(self.folder / "logs")

    def blocked(self) -> bool:
        return self.file.is_dir()

    def finish_line(self) -> None:
        if self.unfinished:
            self.append("\n")
            self.written.append(self.unfinished)
            self.unfinished = ""

    def shift(self, keep: int) -> None:
        """What falls out at the end must have been read, or nobody could have."""
        if Path(f"{self.file}.{keep}").exists():
            self.read()
        for number in range(keep, 1, -1):
            if Path(f"{self.file}.{number - 1}").exists():
                Path(f"{self.file}.{number - 1}").replace(f"{self.file}.{number}")

    @invariant()
    def nothing_lost_doubled_or_torn(self) -> None:
        if hasattr(self, "got"):
            assert self.got == self.written[: len(self.got)]

    def teardown(self) -> None:
        if not hasattr(self, "got"):
            return
        try:
            self.got += read_all(self.follower) + self.follower.finish()
            assert self.got == self.written + ([self.unfinished] if self.unfinished else [])
        finally:
            self.follower.close()
            shutil.rmtree(self.folder)


TestFollowing = LogMachine.TestCase
TestFollowing.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder of somebody whom permissions hold back."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


def test_permissions_that_are_lost_and_come_back() -> None:
    with without_privileges() as folder:
        file = folder / "a.log"
        file.write_bytes(b"1\n")
        late = Follower(file)
        assert read_all(late) == ["1"]
        file.chmod(0)
        early = Follower(file)
        assert read_all(early) == []
        series = LogSeries(file)
        assert series.problem == "Permission denied"
        file.chmod(0o600)
        with file.open("ab") as stream:
            stream.write(b"2\n")
        assert read_all(late) == ["2"]
        assert read_all(early) == ["1", "2"]
        series.look()
        assert series.problem == ""
        assert [line.data for line in WholeView(series).lines(0, 9)] == [b"1", b"2"]


def test_a_line_of_ten_megabytes_stays_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    long = "é" * 5_000_000
    file.write_text(f"{long}\nnext\n", encoding="utf-8")
    assert read_all(Follower(file)) == [long, "next"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_view_goes_on_through_rotations(tmp_path: Path, times: int) -> None:
    """What was seen stays where it was, also if the log was rotated twice since the last look."""
    file = tmp_path / "a.log"
    file.write_bytes(b"1\n2\n")
    series = LogSeries(file)
    view = WholeView(series)
    second = view.lines(1, 1)[0]
    for number in range(times):
        for old in (2, 1):
            if Path(f"{file}.{old}").exists():
                Path(f"{file}.{old}").rename(f"{file}.{old + 1}")
        if number % 2:
            file.rename(f"{file}.1")
        else:
            shutil.copyfile(file, f"{file}.1")
            os.truncate(file, 0)
        with file.open("ab") as stream:
            stream.write(b"%d\n" % (number + 3))
    assert view.look()
    expected = [b"1", b"2", b"3", b"4"][: times + 2]
    assert [line.data for line in view.lines(0, 9)] == expected
    assert view.index_of(second) == 1


def test_lines_of_deleted_files_go_and_give_their_space_back(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    for name, text in (("a.log.2", b"1\n"), ("a.log.1", b"2\n"), ("a.log", b"3\n")):
        (tmp_path / name).write_bytes(text)
    series = LogSeries(file)
    view = WholeView(series)
    assert [line.data for line in view.lines(0, 9)] == [b"1", b"2", b"3"]
    version = view.version
    (tmp_path / "a.log.2").unlink()
    assert view.look()
    assert view.version != version
    assert [line.data for line in view.lines(0, 9)] == [b"2", b"3"]
