"""Bytes of a log as text, whatever they are."""

from __future__ import annotations

from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line

_BYTE_ORDER_MARK = "\ufeff"


def decode_line(data: bytes) -> str:
    """The text of a line: UTF-8, with U+FFFD for what is not, without its end.

    Nothing else is changed: NUL, escapes and carriage returns stay (see `sanitizing`).
    """
    text = data.decode("utf-8", "replace")
    return text.removesuffix("\n").removesuffix("\r").removeprefix(_BYTE_ORDER_MARK)


def shown_line(data: bytes) -> str:
    """A line as it may be shown and copied: decoded, sanitized, without tokens.

    Of a line that overwrites itself with carriage returns the last state is left.
    """
    return redact(sanitize_line(decode_line(data)))
