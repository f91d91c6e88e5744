"""The program's own log files: app.log and setup.log, bounded, without tokens."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from torbiz_tui.logs.redaction import redact
from torbiz_tui.paths import Paths

MAX_BYTES = 5_000_000
KEPT_FILES = 2
_ROOT = "torbiz"
_FORMAT = "%(asctime)s.%(msecs)03d [%(levelname)s] [%(name)s] %(message)s"


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _BoundedHandler(RotatingFileHandler):
    """A full disk must not stop the program, and must not go unnoticed: it is told once.

    Several programs may write to the same file: when another one has rotated it, or somebody has
    removed it, this one goes on in the new one.
    """

    _told = False

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None and not self._is_in_place(self.stream):
            self._let_go(self.stream)
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802
        stream = self.stream
        if stream is None:
            return
        # Of several programs that see it full at once, one rotates it.
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
        if self._is_in_place(stream):
            file = Path(self.baseFilename)
            shift(file, self.backupCount)
            file.replace(file.with_name(f"{file.name}.1"))
        self._let_go(stream)

    def _is_in_place(self, stream: IO[str]) -> bool:
        try:
            mine, now = os.fstat(stream.fileno()), Path(self.baseFilename).stat()
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)

    def _let_go(self, stream: IO[str]) -> None:
        """Close the file; it is opened again with the next line."""
        self.stream = None
        # What a full disk has not taken was told when it was written.
        with contextlib.suppress(OSError):
            stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002
        error = sys.exc_info()[1]
        if not self._told:
            self._told = True
            write_failures.append(f"The log {self.baseFilename} cannot be written: {error}")


write_failures: list[str] = []
"""What could not be logged, for the interface to show; emptied by who shows it."""


def logger(name: str) -> logging.Logger:
    """The logger of one part of the program (`app`, `setup`, `sharing`, `inference`)."""
    return logging.getLogger(f"{_ROOT}.{name}")


def start_logging(paths: Paths, level: int = logging.INFO) -> None:
    """Send the program's log to `app.log`, that of the setup to `setup.log`.

    Calling it again (with another home, in tests) replaces the files.
    """
    root = logging.getLogger(_ROOT)
    root.setLevel(level)
    root.propagate = False
    _replace_handlers(root, paths.logs / "app.log")
    setup = logging.getLogger(f"{_ROOT}.setup")
    setup.propagate = False
    _replace_handlers(setup, paths.logs / "setup.log")


def _replace_handlers(target: logging.Logger, file: Path) -> None:
    for old in list(target.handlers):
        target.removeHandler(old)
        old.close()
    handler = _BoundedHandler(
        file, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(_RedactingFormatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
    target.addHandler(handler)


def rotate(file: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Rename a log that has grown past `max_bytes`, before somebody opens it to append.

    For a log that nobody else has open; `rotation.bound` is for the others. Raises OSError.
    """
    try:
        if file.stat().st_size > max_bytes:
            shift(file)
            file.replace(file.with_name(f"{file.name}.1"))
    except FileNotFoundError:
        return


def shift(file: Path, kept: int = KEPT_FILES) -> None:
    """Make room for a new `<name>.1`: one of `kept` that are left. Raises OSError."""
    for number in range(kept, 1, -1):
        newer = file.with_name(f"{file.name}.{number - 1}")
        with contextlib.suppress(FileNotFoundError):
            newer.replace(file.with_name(f"{file.name}.{number}"))
