"""The program's own log files: app.log and setup.log, bounded, without tokens."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

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
    """A full disk must not stop the program, and must not go unnoticed: it is told once."""

    _told = False

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
    """Move a log file that has grown past `max_bytes` to `<name>.1` before it is appended to."""
    try:
        if file.stat().st_size > max_bytes:
            file.replace(file.with_name(f"{file.name}.1"))
    except FileNotFoundError:
        return
