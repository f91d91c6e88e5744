"""Text from outside made safe for a terminal: shown as text, never acted upon."""

from __future__ import annotations

import re

# Colour sequences (SGR) carry no text and are dropped; every other escape is made visible.
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_C0_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"
# Direction marks, overrides and isolates, spaces and operators without a width, line separators,
# annotation marks, and the tags that spell out a text nobody sees. The joiners U+200C and U+200D
# are not among them: Persian, Indic scripts and emoji are written with them.
_BIDI_AND_INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)

_TABLE: dict[int, str] = {code: chr(_C0_PICTURES + code) for code in range(0x20)}
_TABLE[0x7F] = _DELETE_PICTURE
# The 8-bit C1 range holds one-byte forms of CSI and OSC.
_TABLE.update({code: f"\u27e8U+{code:04X}\u27e9" for code in range(0x80, 0xA0)})
_TABLE.update(
    {
        code: f"\u27e8U+{code:04X}\u27e9"
        for start, end in re.findall("(.)(?:-(.))?", _BIDI_AND_INVISIBLE)
        for code in range(ord(start), ord(end or start) + 1)
    }
)
_TABLE.update(dict.fromkeys(range(55296, 57344), "�"))
del _TABLE[0x09]
_TEXT_TABLE = {code: shown for code, shown in _TABLE.items() if code != 0x0A}
_TEXT_TABLE[0x0D] = ""
_NEEDS_WORK = re.compile(f"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff{_BIDI_AND_INVISIBLE}]")


def sanitize_line(line: str) -> str:
    """One line for a terminal: colours dropped, control and bidi characters made visible.

    Of a line that overwrites itself with carriage returns (a progress bar) the last state stays.
    """
    if not _NEEDS_WORK.search(line):
        return line
    if "\r" in line:
        line = next((part for part in reversed(line.split("\r")) if part), "")
    return _SGR.sub("", line).translate(_TABLE)


def without_colours(text: str) -> str:
    """The text without colour sequences, otherwise as it is: for reading it, not for showing it."""
    return _SGR.sub("", text) if "\x1b" in text else text


def sanitize_text(text: str) -> str:
    """Text of several lines: as `sanitize_line`, but line feeds stay and carriage returns go.

    It works on any piece of a text: the result of the pieces joined is that of the whole, except
    that a colour sequence cut in two is shown instead of dropped.
    """
    if not _NEEDS_WORK.search(text):
        return text
    return _SGR.sub("", text).translate(_TEXT_TABLE)
