"""A text or a regular expression to look for, fast in bytes and the same in what is shown."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.literals import Literal
from torbiz_tui.logs.required_texts import required_texts

# What `bytes` and `str` patterns understand differently also where all is ASCII, and what is
# different in the middle of a text.
_NEEDS_TEXT = re.compile(r"\$|\\[AZz]|\(\?|[^\x00-\x7f]")


class Query:
    """What is looked for, within one line.

    Case matters only if the query has a capital letter (in a regular expression: outside of its
    escapes). Lines of a log are matched as they stand there, so a text is not found across an
    escape sequence, nor in what only redaction or sanitizing shows.
    """

    def __init__(self, text: str, *, regex: bool = False) -> None:
        """Raises TorbizError (code `bad_pattern`) when the regular expression is none."""
        self.text = text
        self.regex = regex
        plain = re.sub(r"\\.", "", text) if regex else text
        self._folded = plain == plain.lower()
        flags = re.IGNORECASE if self._folded else 0
        try:
            # What a person types may be a warning's matter; stderr belongs to the screen.
            with warnings.catch_warnings(action="ignore"):
                self._shown = re.compile(text if regex else re.escape(text), flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise TorbizError(
                f"{text!r} is no regular expression.",
                why=f"{error}.",
                remedy="Mend it, or search for it as plain text.",
                code="bad_pattern",
            ) from error
        self._literal: Literal | None = None
        self._bytes: re.Pattern[bytes] | None = None
        literals = [one for one in required_texts(text) if len(one) > 1] if regex else [text]
        literals = [one for one in literals if one.isascii() or not self._folded]
        if literals:
            encoded = [one.encode("utf-8", "surrogateescape") for one in literals]
            self._literal = Literal(encoded, self._folded)
        elif not regex:
            self._bytes = re.compile(_either_case(text), re.IGNORECASE)
        elif not _NEEDS_TEXT.search(text):
            with warnings.catch_warnings(action="ignore"):
                self._bytes = re.compile(text.encode(), flags | re.MULTILINE)

    def spans(self, shown: str) -> list[tuple[int, int]]:
        """Where it stands in a line as it is shown, for marking it."""
        if not self.text:
            return []
        return [
            found.span() for found in self._shown.finditer(shown) if found.end() > found.start()
        ]

    def matches_text(self, text: str) -> bool:
        """Whether it stands in a decoded line."""
        return self._shown.search(text) is not None

    def matches(self, data: bytes) -> bool:
        """Whether it stands in a line."""
        return self.matches_text(decode_line(data))

    @property
    def slow(self) -> bool:
        """Whether it takes long for a little: there is no text to look for first."""
        return self._literal is None

    @property
    def overlap(self) -> int:
        """How many bytes of a line read in pieces have to be read again with the next piece."""
        return len(self.text.encode("utf-8", "surrogateescape")) if not self.regex else 4096

    def positions(self, data: bytearray, end: int) -> Iterator[int]:
        """Where it stands in the lines of `data[:end]`, once a line."""
        if self._literal is not None:
            for at in self._literal.positions(data, end):
                if not self.regex or self.matches(_line_around(data, at, end)):
                    yield at
        elif self._bytes is not None and (not self.regex or bytes(data[:end]).isascii()):
            yield from self._by_pattern(self._bytes, data, end)
        else:
            yield from self._by_line(data, end)

    def _by_pattern(self, pattern: re.Pattern[bytes], data: bytearray, end: int) -> Iterator[int]:
        at = 0
        while at <= end and (found := pattern.search(data, at, end)) is not None:
            # A pattern may reach over the end of a line, or match the end itself.
            if self.matches(_line_around(data, found.start(), end)):
                yield found.start()
            stop = data.find(b"\n", found.start(), end)
            at = end + 1 if stop == -1 else stop + 1

    def _by_line(self, data: bytearray, end: int) -> Iterator[int]:
        at = 0
        while at < end:
            stop = data.find(b"\n", at, end)
            stop = end if stop == -1 else stop
            if self.matches(bytes(data[at:stop])):
                yield at
            at = stop + 1


def _line_around(data: bytearray, at: int, end: int) -> bytes:
    stop = data.find(b"\n", at, end)
    return bytes(data[data.rfind(b"\n", 0, at) + 1 : end if stop == -1 else stop])


def _either_case(text: str) -> bytes:
    """A pattern of bytes for a text whose case does not matter, also beyond ASCII."""
    parts: list[bytes] = []
    for character in text:
        forms = {character.lower(), character.upper(), character}
        encoded = sorted(re.escape(form.encode("utf-8", "surrogateescape")) for form in forms)
        parts.append(b"(?:" + b"|".join(encoded) + b")")
    return b"".join(parts)
