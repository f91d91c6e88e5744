"""Learning that files have changed: from the system where it tells, by looking where it does not."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from torbiz_tui.logs.writing import logger

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

# Changes that come within this time are told together.
_GATHER_MS = 50
_STEP_MS = 10
# Files are looked at also where the system tells: a network file system or a bind mount does not
# say so, and macOS tells of a file that stays open late.
_LOOK_S = 1.0
_LOOK_WITHOUT_NOTIFY_S = 0.2
_NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "afs", "ceph", "gluster", "vboxsf", "virtiofs")

Signature = tuple[int, ...]


class Watch:
    """A file being watched; it need not exist."""

    def __init__(self, path: Path, on_change: Callable[[], None]) -> None:
        self.path = path
        self._on_change = on_change
        self._signature = _signature(path)
        self._closed = False

    def check(self) -> None:
        """Tell if the file is another or has changed."""
        signature = _signature(self.path)
        if signature != self._signature and not self._closed:
            self._signature = signature
            self._on_change()

    def close(self) -> None:
        """Stop watching it."""
        self._closed = True
        _watcher.remove(self)


def watch(path: Path, on_change: Callable[[], None]) -> Watch:
    """Call `on_change` (in the watching thread) whenever the file may have changed.

    That is: written to, truncated, replaced, gone, come, made readable, or another target of its
    symbolic link. Changes that come close together are told once. One thread watches for all, and
    ends with the last watch.
    """
    one = Watch(path, on_change)
    _watcher.add(one)
    return one


class Changes:
    """Changes of files, awaited on an event loop."""

    def __init__(self, *paths: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._watches = [watch(path, self.tell) for path in paths]

    def tell(self) -> None:
        """Wake up who waits; from any thread."""
        # The loop is closed when nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a change since the last call; false when there was none in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def close(self) -> None:
        """Stop watching."""
        for one in self._watches:
            one.close()


@contextmanager
def changes(*paths: Path) -> Iterator[Changes]:
    """Watch files for as long as the context lasts, on the event loop that runs."""
    watching = Changes(*paths)
    try:
        yield watching
    finally:
        watching.close()


class _Watcher:
    """The thread that watches; there is one as long as there is something to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: tuple[Watch, ...] = ()
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()
        self._told = ""

    def add(self, one: Watch) -> None:
        with self._lock:
            self._watches = (*self._watches, one)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch files", daemon=True)
                self._thread.start()
        self._changed.set()

    def remove(self, one: Watch) -> None:
        with self._lock:
            self._watches = tuple(other for other in self._watches if other is not one)
        self._changed.set()

    def stop(self) -> None:
        """End before the interpreter does: the thread is in foreign code."""
        with self._lock:
            self._watches = ()
            thread = self._thread
        self._changed.set()
        if thread is not None:
            thread.join(1.0)

    def _run(self) -> None:
        notify: RustNotify | None = None
        watched: frozenset[str] = frozenset()
        while True:
            self._changed.clear()
            with self._lock:
                watches = self._watches
                if not watches:
                    self._thread = None
                    return
            folders = frozenset(_folders(watches))
            if folders != watched:
                watched = folders
                notify = self._notify(folders)
                # What changed before it watched.
                for one in watches:
                    one.check()
            reliable = notify is not None and sys.platform == "linux" and not _any_remote(folders)
            look_s = _LOOK_S if reliable else _LOOK_WITHOUT_NOTIFY_S
            if notify is None:
                self._changed.wait(look_s)
            else:
                notify.watch(_GATHER_MS, _STEP_MS, int(look_s * 1000), self._changed)
            for one in watches:
                one.check()

    def _notify(self, folders: frozenset[str]) -> RustNotify | None:
        from watchfiles._rust_notify import RustNotify

        try:
            return RustNotify(sorted(folders), False, False, 0, False, True)
        except OSError as error:
            if str(error) != self._told:
                self._told = str(error)
                logger("app").info("files are looked at instead of watched: %s", error)
            return None


_watcher = _Watcher()
atexit.register(_watcher.stop)


def _signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        # Permissions change nothing else.
        status.st_ctime_ns,
    )


def _folders(watches: tuple[Watch, ...]) -> Iterator[str]:
    """The folders that tell of the files: where their names are, and where links lead to."""
    for one in watches:
        for file in (one.path, Path(os.path.realpath(one.path))):
            if file.parent.is_dir():
                yield str(file.parent)


def _any_remote(folders: frozenset[str]) -> bool:
    return any(_file_system(folder).startswith(_NETWORK) for folder in folders)


def _file_system(folder: str) -> str:
    """The kind of file system that a folder is on (Linux); empty where that is not known."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kind, longest = "", -1
    for line in mounts.splitlines():
        _, at, found, *_ = line.split(" ")
        inside = folder == at or folder.startswith(at.rstrip("/") + "/")
        if inside and len(at) >= longest:
            kind, longest = found, len(at)
    return kind
