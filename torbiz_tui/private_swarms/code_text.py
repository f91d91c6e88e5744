"""The text around the content of an invite code, and what is wrong with one that was damaged."""

from __future__ import annotations

import base64
import math
import re
import zlib
from itertools import pairwise

from torbiz_tui.errors import UsageError

PREFIX = "torbiz1-"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ANY_VERSION = re.compile(r"torbiz(\d{1,3})-")
_HEAD, _CHECKSUM = 2, 4
_SMALLEST = 8
_LONGEST = 4096
# Beyond it the search for the wrong letter would be felt.
_SEARCHED = 1500
_COPY_AGAIN = "Copy the code again, all of it; `torbiz-tui invite` prints it."


def wrap(content: bytes) -> str:
    """The code that holds `content`."""
    data = len(content).to_bytes(_HEAD, "big") + content
    data += _checksum(data)
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def looks_like_code(text: str) -> bool:
    """Whether it is meant as an invite code, whole or not."""
    return _ANY_VERSION.match(_pasted(text)) is not None


def unwrap(text: str) -> bytes:
    """The content of a code, whose checksum fits; line breaks from a mail are no harm.

    Raises UsageError that says what is wrong: cut (`invite_cut`), mistyped (`invite_mistyped`),
    something added (`invite_too_long`), made by another version (`invite_version`), or no code at
    all (`not_an_invite`).
    """
    code = _pasted(text)
    version = _ANY_VERSION.match(code)
    if version is None:
        shown = code if len(code) <= 40 else f"{code[:37]}…"
        raise UsageError(
            f"{shown!r} is no invite code.",
            why=f"A code begins with {PREFIX}.",
            remedy="Copy all of it; for an address of a peer there is --initial-peer.",
            code="not_an_invite",
        )
    if version[0] != PREFIX:
        raise UsageError(
            f"The invite code is of version {version[1]}, and this program reads version 1.",
            remedy="Update torbiz-tui, or check the beginning of the code: it may be mistyped.",
            code="invite_version",
        )
    body = code[len(PREFIX) :]
    _check_letters(body)
    content = _content(body)
    if content is None:
        raise _damage(body)
    return content


def _pasted(text: str) -> str:
    """Without what a mail, a chat or a shell puts around a code and into it."""
    return re.sub(r"\s+", "", text).strip("\"'`<>()[].,;")


def _check_letters(body: str) -> None:
    for place, letter in enumerate(body, start=len(PREFIX) + 1):
        if letter not in _LETTERS:
            raise UsageError(
                f"Character {place} of the invite code is {letter!r}, which no code has.",
                remedy=_COPY_AGAIN,
                code="invite_mistyped",
            )
    if len(body) > _LONGEST:
        raise UsageError(
            f"The invite code has {len(body)} characters; no code is that long.",
            remedy=_COPY_AGAIN,
            code="invite_too_long",
        )


def _content(body: str) -> bytes | None:
    """The content when the code is whole, to the last bit; otherwise None."""
    if len(body) < _SMALLEST or len(body) % 4 == 1:
        return None
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != body:
        return None
    told, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if int.from_bytes(told[:_HEAD], "big") != len(told) - _HEAD or _checksum(told) != checksum:
        return None
    return told[_HEAD:]


def _checksum(data: bytes) -> bytes:
    # The prefix is under it too: a code of another version is never taken for one of this.
    return zlib.crc32(PREFIX.encode() + data).to_bytes(_CHECKSUM, "big")


def _damage(body: str) -> UsageError:
    """What has happened to a code that is not whole."""
    expected = _expected_length(body)
    if expected is not None and len(body) > expected and _content(body[:expected]) is not None:
        added = body[expected:]
        return UsageError(
            f"The invite code has {_characters(len(added))} too many at its end:"
            f" {added[:20]!r}{'…' if len(added) > 20 else ''}.",
            remedy="Leave them out.",
            code="invite_too_long",
        )
    if len(body) <= _SEARCHED:
        found = _wrong_letter(body) or _swapped_letters(body)
        if found:
            return UsageError(
                f"The invite code is mistyped: {found}.", remedy=_COPY_AGAIN, code="invite_mistyped"
            )
    if expected is not None and expected > _LONGEST:
        return UsageError(
            "The invite code is mistyped.",
            why="Its first characters stand for a length that no code has.",
            remedy=_COPY_AGAIN,
            code="invite_mistyped",
        )
    if expected is None or expected > len(body):
        missing = "Its end is"
        if expected is not None:
            count = expected - len(body)
            missing = f"{_characters(count)} {'is' if count == 1 else 'are'}"
        return UsageError(
            "The invite code is cut.",
            why=f"{missing} missing.",
            remedy=_COPY_AGAIN,
            code="invite_cut",
        )
    return UsageError(
        "The invite code is mistyped.",
        why="Its checksum does not fit: more than one character differs.",
        remedy=_COPY_AGAIN,
        code="invite_mistyped",
    )


def _expected_length(body: str) -> int | None:
    """How many characters its first three say that there are; None for fewer than these."""
    if len(body) < 3:
        return None
    bits = 0
    for letter in body[:3]:
        bits = bits << 6 | _LETTERS.index(letter)
    size = _HEAD + (bits >> 2) + _CHECKSUM
    return math.ceil(size * 8 / 6)


def _wrong_letter(body: str) -> str:
    """The one letter that keeps the code from being whole, and the right one.

    The checksum is linear: what flipping a bit does to it does not depend on the other bits, so the
    letters that would mend it are found without trying each of them.
    """
    if len(body) < _SMALLEST or len(body) % 4 == 1:
        return ""
    data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    wanted, nothing = _misfit(data), _misfit(bytes(len(data)))
    for place, letter in enumerate(body):
        effects = [0]
        for bit in range(place * 6 + 5, place * 6 - 1, -1):
            flipped = bytearray(len(data))
            if bit < len(data) * 8:
                flipped[bit // 8] = 0x80 >> bit % 8
            effect = _misfit(flipped) ^ nothing
            effects += [effect ^ other for other in effects]
        for change in range(1, 64):
            if effects[change] != wanted:
                continue
            other = _LETTERS[_LETTERS.index(letter) ^ change]
            if _content(f"{body[:place]}{other}{body[place + 1 :]}") is not None:
                at = len(PREFIX) + place + 1
                return f"character {at} is {letter!r}, and with {other!r} it would be whole"
    return ""


def _misfit(data: bytes | bytearray) -> int:
    """In which bits the checksum differs from what it should be."""
    right = _checksum(bytes(data[:-_CHECKSUM]))
    return int.from_bytes(right, "big") ^ int.from_bytes(data[-_CHECKSUM:], "big")


def _swapped_letters(body: str) -> str:
    for place, (first, second) in enumerate(pairwise(body)):
        if (
            first != second
            and _content(f"{body[:place]}{second}{first}{body[place + 2 :]}") is not None
        ):
            at = len(PREFIX) + place + 1
            return f"characters {at} and {at + 1} are exchanged"
    return ""


def _characters(count: int) -> str:
    return f"{count} character{'' if count == 1 else 's'}"
