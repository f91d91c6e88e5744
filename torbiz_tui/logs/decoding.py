"""Bytes of a log as text, whatever they are."""

from __future__ import annotations


def decode_line(data: bytes) -> str:
    """The text of a line: UTF-8, with U+FFFD for what is not, without its end.

    Nothing else is changed: NUL, escapes and carriage returns stay (see `sanitizing`).
    """
    raise NotImplementedError


def shown_line(data: bytes) -> str:
    """A line as it may be shown and copied: decoded, sanitized, without tokens."""
    raise NotImplementedError
