"""A text or a regular expression to look for, fast in bytes and the same in what is shown."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.literals import required_text

_SAMPLE = 256 * 1024
# So many places of one byte in a sample make looking at each slower than a plain search.
_OFTEN = 800
# What `bytes` and `str` patterns understand differently.
_NEEDS_TEXT = re.compile(r"\$|\\[ZzwWdDsS]|\(\?|[^\x00-\x7f]")


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
        self._literal: _Literal | None = None
        self._bytes: re.Pattern[bytes] | None = None
        literal = required_text(text) if regex else text
        if (len(literal) > 1 or not regex) and (literal.isascii() or not self._folded):
            self._literal = _Literal(literal.encode("utf-8", "surrogateescape"), self._folded)
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
    def overlap(self) -> int:
        """How many bytes of a line read in pieces have to be read again with the next piece."""
        return len(self.text.encode("utf-8", "surrogateescape")) if not self.regex else 4096

    def positions(self, data: bytearray, end: int) -> Iterator[int]:
        """Where it stands in the lines of `data[:end]`, once a line."""
        if self._literal is not None:
            for at in self._literal.positions(data, end):
                if not self.regex or self.matches(_line_around(data, at, end)):
                    yield at
        elif self._bytes is not None:
            yield from self._by_pattern(self._bytes, data, end)
        else:
            yield from self._by_line(data, end)

    def _by_pattern(self, pattern: re.Pattern[bytes], data: bytearray, end: int) -> Iterator[int]:
        at = 0
        while at <= end and (found := pattern.search(data, at, end)) is not None:
            start = data.rfind(b"\n", 0, found.start()) + 1
            stop = data.find(b"\n", found.start(), end)
            stop = end if stop == -1 else stop
            # A pattern may reach over the end of a line.
            if found.end() <= stop or pattern.search(data, max(start, at), stop) is not None:
                yield found.start()
            at = stop + 1

    def _by_line(self, data: bytearray, end: int) -> Iterator[int]:
        at = 0
        while at < end:
            stop = data.find(b"\n", at, end)
            stop = end if stop == -1 else stop
            if self.matches(bytes(data[at:stop])):
                yield at
            at = stop + 1


class _Literal:
    """Finds a text by its rarest byte where that is rare: the C library's memchr is the fastest."""

    def __init__(self, needle: bytes, folded: bool) -> None:
        self._needle = needle.lower() if folded else needle
        self._folded = folded and needle.lower() != needle.upper()
        self._anchor: tuple[int, tuple[bytes, ...]] | None = None
        self._tuned = False

    def positions(self, data: bytearray, end: int) -> Iterator[int]:
        """Where it stands in `data[:end]`, once a line."""
        if not self._tuned and end:
            self._tune(data, min(end, _SAMPLE))
        at = 0
        if self._anchor is None:
            text = bytes(data[:end]).lower() if self._folded else data
            while (at := text.find(self._needle, at, end)) != -1:
                yield at
                at = _next_line(data, at, end)
            return
        seen = 0
        for at in self._by_anchor(data, end):
            seen += 1
            yield at
        # Where it has become frequent another byte may be rarer now.
        self._tuned = seen < _OFTEN

    def _by_anchor(self, data: bytearray, end: int) -> Iterator[int]:
        assert self._anchor is not None
        inside, forms = self._anchor
        size = len(self._needle)
        next_at = [data.find(form, inside, end) for form in forms]
        line = 0
        while True:
            at = min((one for one in next_at if one != -1), default=-1)
            if at == -1:
                return
            start = at - inside
            if start >= line and start + size <= end:
                piece = bytes(data[start : start + size])
                if (piece.lower() if self._folded else piece) == self._needle:
                    yield start
                    line = _next_line(data, start, end)
            onward = max(at + 1, line + inside)
            next_at = [
                one if one == -1 or one >= onward else data.find(form, onward, end)
                for one, form in zip(next_at, forms, strict=True)
            ]

    def _tune(self, data: bytearray, end: int) -> None:
        self._tuned = True
        best, self._anchor = _OFTEN * end // _SAMPLE + 1, None
        for inside in range(len(self._needle)):
            form = self._needle[inside : inside + 1]
            both = {form, form.upper()} if self._folded else {form}
            count = sum(data.count(one, 0, end) for one in both)
            if count < best:
                best, self._anchor = count, (inside, tuple(sorted(both)))


def _line_around(data: bytearray, at: int, end: int) -> bytes:
    stop = data.find(b"\n", at, end)
    return bytes(data[data.rfind(b"\n", 0, at) + 1 : end if stop == -1 else stop])


def _next_line(data: bytearray, at: int, end: int) -> int:
    stop = data.find(b"\n", at, end)
    return end if stop == -1 else stop + 1


def _either_case(text: str) -> bytes:
    """A pattern of bytes for a text whose case does not matter, also beyond ASCII."""
    parts: list[bytes] = []
    for character in text:
        forms = {character.lower(), character.upper(), character}
        encoded = sorted(re.escape(form.encode("utf-8", "surrogateescape")) for form in forms)
        parts.append(b"(?:" + b"|".join(encoded) + b")")
    return b"".join(parts)
