"""A Unix socket in the file system that one process at a time listens on."""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from pathlib import Path

from process_signals import close_in_children, forget_descriptor

# Linux takes 107 bytes, macOS 103.
MAX_PATH_BYTES = 100
WAIT_FOR_OTHER_S = 5.0


class SocketFileError(Exception):
    """Nobody can listen there; the text says why, for people."""


def socket_path(text: str) -> Path:
    """Accept the path of a socket; the error names what is accepted."""
    path = Path(text).expanduser().absolute()
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give a path of at most {MAX_PATH_BYTES} bytes,"
            " which is all that a socket can have."
        )
    return path


class SocketFile:
    """The socket's file and its lock, which the kernel lets go of when this process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock: int | None = None
        self._identity: tuple[int, int] | None = None

    def listen(self) -> socket.socket | None:
        """Return a listening socket for this user alone; None when a living process has it.

        A file that a killed process has left is replaced. Raises SocketFileError.
        """
        try:
            self._check_folder()
            deadline = time.monotonic() + WAIT_FOR_OTHER_S
            while not self._acquire_lock():
                if self._is_answered():
                    return None
                # It has just begun, or it is ending.
                if time.monotonic() > deadline:
                    raise SocketFileError(
                        f"{self._path} cannot be used: a process holds its lock and does not"
                        " answer there."
                    )
                time.sleep(0.02)
            if self._is_answered():
                self._release_lock()
                return None
            return self._bind()
        except OSError as error:
            self.remove()
            raise SocketFileError(f"{self._path} cannot be listened on: {error}") from error

    def remove(self) -> None:
        """Let others listen there; safe in a signal handler, and to call again."""
        identity, self._identity = self._identity, None
        with contextlib.suppress(OSError):  # somebody else has removed it
            if identity is not None and _identity(self._path) == identity:
                self._path.unlink()
        self._release_lock()

    def _check_folder(self) -> None:
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise SocketFileError(
                f"{folder} is open to others: a socket is only made in a folder of mode 700."
            )

    def _acquire_lock(self) -> bool:
        while True:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(lock)
                if _identity(self._lock_path) == (status.st_dev, status.st_ino):
                    self._lock, lock = lock, -1
                    close_in_children(self._lock)
                    return True
            except BlockingIOError:
                return False
            except FileNotFoundError:
                pass  # its holder has just ended and removed it
            finally:
                if lock >= 0:
                    os.close(lock)

    def _release_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is None:
            return
        with contextlib.suppress(OSError):  # somebody else has removed it
            self._lock_path.unlink()
        forget_descriptor(lock)
        os.close(lock)

    def _is_answered(self) -> bool:
        """Whether a living process has the socket; it hears nothing of the question.

        A connection would count as the first one, with whose end a runner that does not linger
        ends: a socket of another kind is refused in words that tell as much.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
            return True

    def _bind(self) -> socket.socket:
        try:
            if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
                raise SocketFileError(f"{self._path} is there already and is not a socket.")
            self._path.unlink()
        except FileNotFoundError:
            pass
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        close_in_children(listening.fileno())
        before = os.umask(0o177)
        try:
            listening.bind(str(self._path))
        finally:
            os.umask(before)
        self._identity = _identity(self._path)
        listening.listen()
        listening.setblocking(False)
        return listening


def _identity(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
