"""Log lines in hivemind's format on stderr, available before hivemind is imported."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

_copies: list[int] = []
"""Descriptors that get what goes to stderr as well."""


class _HivemindFormatter(logging.Formatter):
    """`Mon dd HH:MM:SS.mmm [LEVEL] message`, with the caller when the level is not INFO."""

    def format(self, record: logging.LogRecord) -> str:
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        stamp = f"{self.formatTime(record, '%b %d %H:%M:%S')}.{record.msecs:03.0f}"
        caller = ""
        if record.levelno != logging.INFO:
            caller = f" [{record.module}.{record.funcName}:{record.lineno}]"
        text = f"{stamp} [{level}]{caller} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _UnbufferedStderr(logging.Handler):
    """Writes with os.write: a signal handler may log while the main thread is in a write."""

    def emit(self, record: logging.LogRecord) -> None:
        write_to_stderr(self.format(record) + "\n")


def write_to_stderr(text: str) -> None:
    """Write to stderr and its copies; that nobody reads it, or a full disk, is no reason to fail."""
    for descriptor in (2, *_copies):
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            continue


class _CopiedStderr:
    """Stands in for sys.stderr, so that tracebacks and hivemind's lines are copied too."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def write(self, text: str) -> int:
        write_to_stderr(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def copy_stderr_to(file: Path) -> None:
    """Append what this process and its forks write to stderr to a file as well.

    Call it before anything that logs is imported: handlers keep the stream they were made with.
    Raises OSError when the file cannot be opened.
    """
    # Appending writes whole records, also where several processes write.
    _copies.append(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    sys.stderr = _CopiedStderr(sys.stderr)


def runner_logger() -> logging.Logger:
    """Return the logger of the runner scripts, set up on first use."""
    logger = logging.getLogger("torbiz_runner")
    if not logger.handlers:
        handler = _UnbufferedStderr()
        handler.setFormatter(_HivemindFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger
