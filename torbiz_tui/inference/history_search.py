"""Full-text search: what a person types made into a query, and the text around a match."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
# Thai, Lao, Burmese, Khmer, Kana and Han: scripts that put no space between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)
_MAX_WORDS = 24
_MAX_WORD_CHARS = 64
_BEFORE_CHARS = 30
_SNIPPET_CHARS = 120

Ranges = tuple[tuple[int, int], ...]


def search_words(text: str) -> tuple[str, ...]:
    """The words of a search; whatever else was typed separates them."""
    words = [match[0][:_MAX_WORD_CHARS] for match in _WORD.finditer(text[:10_000])]
    return tuple(dict.fromkeys(words))[:_MAX_WORDS]


def needs_scan(words: tuple[str, ...]) -> bool:
    """Whether a word may begin in the middle of what the index takes for one."""
    return any(_UNSPACED.search(word) for word in words)


def match_expression(words: tuple[str, ...]) -> str:
    """The words for FTS5: all have to be there, of the last one its beginning is enough."""
    quoted = [f'"{word}"' for word in words]
    return " AND ".join(quoted) + "*" if quoted else ""


def match_ranges(text: str, words: tuple[str, ...]) -> Ranges:
    """Where the words are in a text, as [first, end), in order; accents and case do not count."""
    if not words:
        return ()
    if needs_scan(words):
        anywhere = re.compile("|".join(re.escape(_plain(word)) for word in words))
        return tuple(match.span() for match in anywhere.finditer(_plain(text)))
    *whole, beginning = [re.escape(_plain(word)) for word in words]
    forms = [rf"{word}(?![^\W_])" for word in whole] + [rf"{beginning}[^\W_]*"]
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(forms)})")
    return tuple(match.span() for match in pattern.finditer(_plain(text)))


def snippet(content: str, words: tuple[str, ...]) -> tuple[str, Ranges]:
    """The text around the first match in one line, and where the words are in it."""
    found = match_ranges(content, words)
    begin = 0
    if found and found[0][0] > _BEFORE_CHARS:
        begin = found[0][0] - _BEFORE_CHARS
        space = content.find(" ", begin, found[0][0])
        begin = begin if space < 0 else space + 1
    cut = " ".join(content[begin : begin + _SNIPPET_CHARS].split())
    line = ("…" if begin else "") + cut + ("…" if begin + _SNIPPET_CHARS < len(content) else "")
    return line, match_ranges(line, words)


def _plain(text: str) -> str:
    """The text without case and accents, every character still in its place."""
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(low if len(low := char.lower()) == 1 else char for char in text)
    if lowered.isascii():
        return lowered
    return "".join(char if char.isascii() else _without_accent(char) for char in lowered)


def _without_accent(char: str) -> str:
    return unicodedata.normalize("NFD", char)[0]
