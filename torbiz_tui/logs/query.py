"""A text or a regular expression to look for, fast in bytes and the same in what is shown."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from time import thread_time
from typing import TYPE_CHECKING, AnyStr

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.decoding import decode_line
from torbiz_tui.logs.literals import Literal
from torbiz_tui.logs.required_texts import required_texts

if TYPE_CHECKING:
    import regex as regexes

# So long an expression may take on a line (in seconds of the processor), and on all lines of a
# piece, before it is called too slow; on a piece as a whole, before its lines are looked at one by
# one; and on a line that is drawn, before nothing is marked any more.
_LINE_S = 1.0
_LINES_S = 5.0
_PIECE_S = 0.5
_DRAWN_S = 0.05

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
        self._shown = re.compile(re.escape(text), flags)
        # A person's expression may take for ever, and only `regex` can be told to give up.
        self._expression: regexes.Pattern[str] | None = None
        if regex:
            self._expression = _compiled(text, text, folded=self._folded)
        self._marks = True
        self._literal: Literal | None = None
        self._bytes: re.Pattern[bytes] | None = None
        self._bytes_expression: regexes.Pattern[bytes] | None = None
        literals = [one for one in required_texts(text) if len(one) > 1] if regex else [text]
        literals = [one for one in literals if one.isascii() or not self._folded]
        if literals:
            encoded = [one.encode("utf-8", "surrogateescape") for one in literals]
            self._literal = Literal(encoded, self._folded)
        elif not regex:
            self._bytes = re.compile(_either_case(text), re.IGNORECASE)
        elif not _NEEDS_TEXT.search(text):
            self._bytes_expression = _compiled(text, text.encode(), folded=self._folded)

    def spans(self, shown: str) -> list[tuple[int, int]]:
        """Where it stands in a line as it is shown, for marking it; nothing if that takes long."""
        if not self.text or not self._marks:
            return []
        if self._expression is None:
            return [found.span() for found in self._shown.finditer(shown)]
        try:
            spans = [one.span() for one in self._expression.finditer(shown, timeout=_DRAWN_S)]
        except TimeoutError:
            self._marks = False
            return []
        return [(start, end) for start, end in spans if end > start]

    def matches_text(self, text: str) -> bool:
        """Whether it stands in a decoded line.

        Raises TorbizError (code `slow_pattern`) when that takes too long to find out.
        """
        if self._expression is None:
            return self._shown.search(text) is not None
        try:
            return self._expression.search(text, timeout=_LINE_S) is not None
        except TimeoutError:
            raise self._too_slow() from None

    def _too_slow(self) -> TorbizError:
        return TorbizError(
            f"The expression {self.text!r} takes too long.",
            why="There is a line that it can be tried on in too many ways.",
            remedy="Write it without repetitions within repetitions, or search for plain text.",
            code="slow_pattern",
        )

    def matches(self, data: bytes) -> bool:
        """Whether it stands in a line. Raises as `matches_text` does."""
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
        """Where it stands in the lines of `data[:end]`, once a line. Raises as `matches_text`."""
        if self._literal is not None:
            for at in self._literal.positions(data, end):
                if not self.regex or self.matches(_line_around(data, at, end)):
                    yield at
        elif self._bytes is not None:
            yield from self._by_pattern(self._bytes, data, end)
        elif self._bytes_expression is not None and bytes(data[:end]).isascii():
            yield from self._by_expression(self._bytes_expression, data, end)
        else:
            yield from self._by_line(data, 0, end)

    def _by_pattern(self, pattern: re.Pattern[bytes], data: bytearray, end: int) -> Iterator[int]:
        at = 0
        while at <= end and (found := pattern.search(data, at, end)) is not None:
            if self.matches(_line_around(data, found.start(), end)):
                yield found.start()
            at = _next_line(data, found.start(), end)

    def _by_expression(
        self, pattern: regexes.Pattern[bytes], data: bytearray, end: int
    ) -> Iterator[int]:
        at = 0
        while at <= end:
            try:
                # Nobody else writes into the data, so other threads may run meanwhile.
                found = pattern.search(data, at, end, timeout=_PIECE_S, concurrent=True)
            except TimeoutError:
                yield from self._by_line(data, at, end)
                return
            if found is None:
                return
            # A pattern may reach over the end of a line, or match the end itself.
            if self.matches(_line_around(data, found.start(), end)):
                yield found.start()
            at = _next_line(data, found.start(), end)

    def _by_line(self, data: bytearray, at: int, end: int) -> Iterator[int]:
        looked_s = 0.0
        while at < end:
            stop = data.find(b"\n", at, end)
            stop = end if stop == -1 else stop
            begun = thread_time()
            matches = self.matches(bytes(data[at:stop]))
            looked_s += thread_time() - begun
            if matches:
                yield at
            elif looked_s > _LINES_S:
                raise self._too_slow()
            at = stop + 1


def _compiled(text: str, pattern: AnyStr, *, folded: bool) -> regexes.Pattern[AnyStr]:
    # Costs a tenth of a second, and few searches are for an expression.
    import regex as regexes

    flags = regexes.V0 | (regexes.IGNORECASE if folded else 0)
    if isinstance(pattern, bytes):
        flags |= regexes.MULTILINE
    try:
        # What a person types may be a warning's matter; stderr belongs to the screen.
        with warnings.catch_warnings(action="ignore"):
            return regexes.compile(pattern, flags)
    except (regexes.error, OverflowError, RecursionError, ValueError, KeyError) as error:
        raise TorbizError(
            f"{text!r} is no regular expression.",
            why=f"{error}.",
            remedy="Mend it, or search for it as plain text.",
            code="bad_pattern",
        ) from error


def _next_line(data: bytearray, at: int, end: int) -> int:
    stop = data.find(b"\n", at, end)
    return end + 1 if stop == -1 else stop + 1


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
