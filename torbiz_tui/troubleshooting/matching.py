"""Recognising known symptoms in log lines and in what tools say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.troubleshooting.symptom import (
    LOGS,
    Explanation,
    Machine,
    Place,
    Severity,
    Symptom,
    whole_words,
)
from torbiz_tui.troubleshooting.symptoms import SYMPTOMS

_EXAMINED_CHARACTERS = 8192
_SHOWN_CHARACTERS = 300
# Colours stand directly before words.
_ESCAPE = "\x1b"
# ASCII letters small, what is no part of a word (each byte of other characters too) a space.
_WORDS_TABLE = bytes(
    code if (chr(code).isalnum() and code < 128) or code == ord("_") else 0x20
    for code in range(256)
).lower()


class Matcher:
    """Recognises symptoms in single lines.

    A line that lacks a word of every pattern is passed over at once (some 3 µs); the patterns
    themselves are tried only where all of their words are there.
    """

    def __init__(self, symptoms: Sequence[Symptom]) -> None:
        self._symptoms = symptoms
        self._by_word: dict[bytes, list[tuple[frozenset[bytes], int]]] = {}
        for number, symptom in enumerate(symptoms):
            for pattern in symptom.patterns:
                words = [word.encode() for word in whole_words(pattern)]
                longest = max(words, key=len)
                self._by_word.setdefault(longest, []).append((frozenset(words), number))
        self._has_no_word_of = frozenset(self._by_word).isdisjoint

    def match(self, line: str, place: Place | None = None) -> Symptom | None:
        """The symptom that a line shows, the first of several; without a place in any log."""
        if len(line) > _EXAMINED_CHARACTERS:
            line = line[:_EXAMINED_CHARACTERS]
        if _ESCAPE in line:
            line = sanitize_line(line)
        words = line.encode("utf-8", "replace").translate(_WORDS_TABLE).split()
        if self._has_no_word_of(words):
            return None
        present = frozenset(words)
        numbers = {
            number
            for word in self._by_word.keys() & present
            for needed, number in self._by_word[word]
            if needed <= present
        }
        for number in sorted(numbers):
            symptom = self._symptoms[number]
            if (place is None or place in symptom.places) and symptom.expression.search(line):
                return symptom
        return None


def match(line: str, place: Place | None = None) -> Symptom | None:
    """The known symptom that a log line shows, if any.

    Only the first 8192 characters are looked at. `place` is the log that the line is from; without
    it those of all logs are looked for.
    """
    return _logs_matcher().match(line, place)


def explain(
    line: str, place: Place | None = None, machine: Machine | None = None
) -> Explanation | None:
    """What a log line means and what to do about it on such a machine, if it is known."""
    symptom = match(line, place)
    return None if symptom is None else explanation(symptom, line, machine)


def explain_lines(
    lines: Iterable[str], place: Place | None = None, machine: Machine | None = None
) -> Iterator[tuple[int, Explanation]]:
    """The explanations of those lines that have one, each with the number of its line."""
    for number, line in enumerate(lines):
        if (found := explain(line, place, machine)) is not None:
            yield number, found


def explanation(symptom: Symptom, line: str, machine: Machine | None = None) -> Explanation:
    """A symptom in words for a person."""
    return Explanation(
        symptom, symptom.title, symptom.cause, symptom.remedy_on(machine), symptom.action, line
    )


def evidence(line: str) -> str:
    """A line as it may be shown below its explanation: without escapes and tokens, at most 300 long."""
    # Redacted as a whole: half a token would not be known as one.
    text = redact(sanitize_line(line)).strip()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}\u2026"


def find(text: str, place: Place, severity: Severity | None = None) -> Symptom | None:
    """The first symptom of a place, in the order of the data, that a text of some lines shows."""
    if _ESCAPE in text:
        text = sanitize_text(text)
    for symptom in SYMPTOMS:
        if place not in symptom.places or severity not in (None, symptom.severity):
            continue
        if symptom.expression.search(text):
            return symptom
    return None


def place_of(log: str) -> Place | None:
    """What is printed in the log of that name (`seeder`, `container`); None for others."""
    return _PLACES.get(log)


_PLACES = {
    "seeder": Place.SERVER,
    "container": Place.SERVER,
    "inference": Place.CHAT,
    "setup": Place.SETUP,
    "app": Place.APP,
}


@cache
def _logs_matcher() -> Matcher:
    return Matcher([symptom for symptom in SYMPTOMS if symptom.places & LOGS])
