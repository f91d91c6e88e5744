"""Learning of changes, by the system and by looking."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from torbiz_tui.logs import watching
from torbiz_tui.logs.watching import changes

Change = Callable[[Path], object]


def replace(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(b"one\n")
    new.replace(file)


CHANGES: dict[str, Change] = {
    "written": lambda file: file.open("ab").write(b"two\n"),
    "emptied": lambda file: os.truncate(file, 0),
    "replaced": replace,
    "gone": Path.unlink,
    "not to be read": lambda file: file.chmod(0),
}


@pytest.fixture(params=["watched", "looked at"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the system tells, and where it has no watches left."""
    if request.param == "looked at":
        monkeypatch.setattr(watching._Watcher, "_notify", lambda self, folders: None)
    else:
        # Only what the system tells counts.
        monkeypatch.setattr(watching, "_LOOK_S", 60.0)
        monkeypatch.setattr(watching, "_any_remote", lambda folders: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_is_told(tmp_path: Path, change: Change) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\n")
    with changes(file) as told:
        change(file)
        assert await told.wait(30)


@pytest.mark.usefixtures("way")
async def test_files_that_come_and_links_that_turn(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.log").write_bytes(name.encode())
    (tmp_path / "link").symlink_to(tmp_path / "one" / "a.log")
    with changes(tmp_path / "later.log", tmp_path / "link") as told:
        (tmp_path / "later.log").write_bytes(b"here\n")
        assert await told.wait(30)
        with (tmp_path / "one" / "a.log").open("ab") as stream:
            stream.write(b"more\n")
        assert await told.wait(30)
        (tmp_path / "new").symlink_to(tmp_path / "two" / "a.log")
        (tmp_path / "new").replace(tmp_path / "link")
        assert await told.wait(30)


async def test_nothing_is_told_of_other_files_or_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\n")
    with changes(file) as told:
        (tmp_path / "b.log").write_bytes(b"other\n")
        assert not await told.wait(0.3)
    file.write_bytes(b"more\n")
    assert not await told.wait(0.3)


async def test_the_thread_ends_with_the_last_watch(tmp_path: Path) -> None:
    with changes(tmp_path / "a.log", tmp_path / "b.log"):
        (thread,) = [one for one in threading.enumerate() if one.name == "watch files"]
    async with asyncio.timeout(10):
        await asyncio.to_thread(thread.join)


def test_the_file_system_of_a_folder_is_known() -> None:
    assert watching._file_system("/proc/self") == "proc"
    assert not watching._any_remote(frozenset({"/proc/self"}))
