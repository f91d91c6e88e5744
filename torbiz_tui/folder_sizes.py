"""What folders take on disk, what their removal would free, and their removal."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torbiz_tui.threads import call_abandonable

T = TypeVar("T")

# POSIX counts st_blocks in these, whatever the file system's own blocks are.
_BLOCK = 512


@dataclass(frozen=True)
class FolderSize:
    """Bytes on disk, a file with several names counted once.

    `freeable` leaves out files that also have a name elsewhere (uv links packages from its cache):
    removing the folder does not free those.
    """

    bytes: int = 0
    freeable: int = 0


@dataclass
class Removal:
    """What was removed: bytes that this really freed, and what could not go."""

    bytes: int = 0
    errors: list[OSError] = field(default_factory=list)


class Stopped(Exception):  # noqa: N818 (no failure: nobody waits any more)
    """Raised in the thread of a call that was cancelled."""


async def off_loop(work: Callable[[threading.Event], T], name: str) -> T:
    """Run `work(stop)` in a thread; `stop` is set when nobody waits for it any more."""
    stop = threading.Event()
    try:
        return await call_abandonable(lambda: work(stop), name)
    finally:
        stop.set()


def folder_size(
    folders: Iterable[Path], stop: threading.Event, *, without: Iterable[Path] = ()
) -> FolderSize:
    """The size of folders (or files) together; links in them are not followed.

    What is missing or cannot be read counts nothing. Raises Stopped.
    """
    left_out = {os.path.realpath(path) for path in without}
    named_often: dict[tuple[int, int], int] = {}
    total = freeable = 0
    for info in _entries(map(os.path.realpath, folders), left_out, stop):
        size = disk_bytes(info)
        if stat.S_ISDIR(info.st_mode) or info.st_nlink == 1:
            total += size
            freeable += size
            continue
        inode = (info.st_dev, info.st_ino)
        seen = named_often[inode] = named_often.get(inode, 0) + 1
        if seen == 1:
            total += size
        if seen == info.st_nlink:
            freeable += size
    return FolderSize(total, freeable)


def _entries(
    roots: Iterable[str], left_out: set[str], stop: threading.Event
) -> Iterator[os.stat_result]:
    waiting = []
    for root in roots:
        try:
            info = os.lstat(root)
        except OSError:
            continue
        yield info
        if stat.S_ISDIR(info.st_mode):
            waiting.append(root)
    while waiting:
        if stop.is_set():
            raise Stopped
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.path in left_out:
                        continue
                    # Gone since, or on a disk that fails: it cannot be counted.
                    with suppress(OSError):
                        yield entry.stat(follow_symlinks=False)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
        except OSError:
            continue


def remove_tree(folder: Path, stop: threading.Event, *, first: Sequence[str] = ()) -> Removal:
    """Remove a folder and all in it, never what a link points to; the files `first` before others.

    What cannot be removed is among the errors, and the rest goes all the same. Raises Stopped, and
    OSError for a folder that is a link.
    """
    done = Removal()
    if not os.path.lexists(folder):
        return done
    if folder.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "It is a link", str(folder))
    for name in first:
        _remove_entry(name, None, str(folder), done)
    for path, folders, files, descriptor in os.fwalk(
        folder, topdown=False, onerror=done.errors.append, follow_symlinks=False
    ):
        for name in (*files, *folders):
            if stop.is_set():
                raise Stopped
            _remove_entry(name, descriptor, path, done)
    try:
        size = disk_bytes(folder.stat())
        folder.rmdir()
        done.bytes += size
    except FileNotFoundError:
        pass
    except OSError as error:
        # What is still in it has been told already.
        if not done.errors:
            done.errors.append(error)
    return done


def _remove_entry(name: str, descriptor: int | None, path: str, done: Removal) -> None:
    """Remove an entry of the folder `path`, which `descriptor` has open (or None)."""
    whole = str(Path(path) / name)
    name = whole if descriptor is None else name
    try:
        info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            os.rmdir(name, dir_fd=descriptor)
        else:
            os.unlink(name, dir_fd=descriptor)
        if stat.S_ISDIR(info.st_mode) or info.st_nlink == 1:
            done.bytes += disk_bytes(info)
    except FileNotFoundError:
        return
    except OSError as error:
        if not (error.errno == errno.ENOTEMPTY and done.errors):
            error.filename = whole
            done.errors.append(error)


def disk_bytes(info: os.stat_result) -> int:
    """The bytes that a file takes on its disk."""
    return info.st_blocks * _BLOCK
