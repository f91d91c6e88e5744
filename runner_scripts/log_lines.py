"""Log lines in hivemind's format on stderr, available before hivemind is imported."""

from __future__ import annotations

import logging
import os


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
        data = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(2, data) :]
        except OSError:
            pass  # nobody reads our stderr any more: not a reason to fail


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
