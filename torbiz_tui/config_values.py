"""The kinds of configuration values: what each accepts, reads from text, and shows as text."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

T = TypeVar("T")

_WHOLE = re.compile(r"-?(?:0|[1-9](?:_?\d)*)")
# A string that YAML would read as something else, or that has a character with a meaning in it.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NOT_TEXT = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_SIZE = re.compile(r"(\d{1,18})([kmgt]?)b?")
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_NOTHING = ("", "~", "null", "none")


class RejectedError(ValueError):
    """A value is not one of those that its kind accepts; `reason` says more of it, where it can."""

    def __init__(self, *where: object, reason: str = "") -> None:
        super().__init__(*where)
        self.reason = reason


class Kind(ABC):
    """A kind of value; `accepted` completes the sentence "accepted is …"."""

    accepted: str

    @abstractmethod
    def parse(self, text: str) -> object:
        """The value that a text stands for. Raises RejectedError."""

    @abstractmethod
    def check(self, value: object) -> object:
        """A value that is no text any more, if it is accepted. Raises RejectedError."""

    def yaml(self, value: object) -> str:
        """The value as it is written in a YAML file."""
        return quoted(self.text(value))

    def text(self, value: object) -> str:
        """The value as `parse` reads it."""
        return str(value)


@dataclass(frozen=True)
class Text(Kind):
    """A text, any or one that `fits`."""

    accepted: str = "a text"
    fits: Callable[[str], bool] = str.isprintable

    def parse(self, text: str) -> str:
        """The text itself."""
        if not self.fits(text):
            raise RejectedError
        return text

    def check(self, value: object) -> str:
        """Only a text is one."""
        if not isinstance(value, str):
            raise RejectedError
        return self.parse(value)


class Choice(Text):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words: tuple[str, ...]
        object.__setattr__(self, "words", words)
        super().__init__(
            accepted=", ".join(words[:-1]) + f" or {words[-1]}", fits=words.__contains__
        )


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    accepted: str = "true or false"

    def parse(self, text: str) -> bool:
        """True or false in the usual spellings."""
        word = text.strip().lower()
        if word in _YES:
            return True
        if word in _NO:
            return False
        raise RejectedError

    def check(self, value: object) -> bool:
        """Only True and False are."""
        if not isinstance(value, bool):
            raise RejectedError
        return value

    def yaml(self, value: object) -> str:
        """`true` or `false`."""
        return self.text(value)

    def text(self, value: object) -> str:
        """`true` or `false`."""
        return "true" if value else "false"


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number within bounds; with `optional` also none at all."""

    low: int
    high: int
    optional: bool = False

    @property
    def accepted(self) -> str:  # type: ignore[override]
        """The bounds in words."""
        return f"a whole number from {self.low} to {self.high}{', or null' * self.optional}"

    def parse(self, text: str) -> int | None:
        """Decimal digits."""
        if self.optional and text.strip().lower() in _NOTHING:
            return None
        if not _WHOLE.fullmatch(text.strip()) or len(text) > 40:
            raise RejectedError
        return self._bounded(int(text))

    def check(self, value: object) -> int | None:
        """A number, not a truth value."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise RejectedError
        return self._bounded(value)

    def _bounded(self, number: int) -> int:
        if not self.low <= number <= self.high:
            raise RejectedError
        return number

    def yaml(self, value: object) -> str:
        """The digits."""
        return self.text(value)

    def text(self, value: object) -> str:
        """The digits, or `null`."""
        return "null" if value is None else str(value)


@dataclass(frozen=True)
class Number(Kind):
    """A number within bounds; the lower one excluded with `above`."""

    low: float
    high: float
    above: bool = False
    optional: bool = False

    @property
    def accepted(self) -> str:  # type: ignore[override]
        """The bounds in words."""
        nothing = ", or null" * self.optional
        if self.above:
            return f"a number above {self.low:g}, up to {self.high:g}{nothing}"
        return f"a number from {self.low:g} to {self.high:g}{nothing}"

    def parse(self, text: str) -> float | None:
        """Decimal, with or without a fraction or an exponent."""
        if self.optional and text.strip().lower() in _NOTHING:
            return None
        try:
            return self._bounded(float(text))
        except ValueError:
            raise RejectedError from None

    def check(self, value: object) -> float | None:
        """A number, not a truth value."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RejectedError
        return self._bounded(float(value))

    def _bounded(self, number: float) -> float:
        above = number > self.low if self.above else number >= self.low
        if not (math.isfinite(number) and above and number <= self.high):
            raise RejectedError
        return number

    def yaml(self, value: object) -> str:
        """The digits."""
        return self.text(value)

    def text(self, value: object) -> str:
        """As short as it stays exact."""
        return "null" if value is None else repr(float(cast("float", value)))


@dataclass(frozen=True)
class Size(Kind):
    """A number of bytes, written as Docker writes it: `512m`, `8g`."""

    low: int
    optional: bool = False

    @property
    def accepted(self) -> str:  # type: ignore[override]
        """The form and the least in words."""
        nothing = ", or null" * self.optional
        return f"a size such as 512m or 8g, at least {self.text(self.low)}{nothing}"

    def parse(self, text: str) -> int | None:
        """A number of bytes, with k, m, g or t for powers of 1024."""
        word = text.strip().lower()
        if self.optional and word in _NOTHING:
            return None
        match = _SIZE.fullmatch(word)
        if match is None:
            raise RejectedError
        return self.check(int(match[1]) << _SHIFTS[match[2]])

    def check(self, value: object) -> int | None:
        """Bytes, or a text that stands for them."""
        if value is None and self.optional:
            return None
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value < 2**56:
            raise RejectedError
        return value

    def yaml(self, value: object) -> str:
        """As Docker writes it."""
        return self.text(value)

    def text(self, value: object) -> str:
        """With the greatest unit that leaves a whole number."""
        if value is None:
            return "null"
        size = cast("int", value)
        unit = next(unit for unit in "tgmk" + " " if size % (1 << _SHIFTS[unit.strip()]) == 0)
        return f"{size >> _SHIFTS[unit.strip()]}{unit.strip()}"


@dataclass(frozen=True)
class TextList(Kind):
    """Texts of one form, at most so many; in a variable they are separated by commas."""

    item: Text
    most: int | None = None

    @property
    def accepted(self) -> str:  # type: ignore[override]
        """The form in words."""
        length = "" if self.most is None else f" of at most {self.most}"
        return f"a list{length}; each item is {self.item.accepted}"

    def parse(self, text: str) -> tuple[str, ...]:
        """Items between commas; blanks around them do not count."""
        return self.check([part.strip() for part in text.split(",") if part.strip()])

    def check(self, value: object) -> tuple[str, ...]:
        """A list or tuple of such texts."""
        if not isinstance(value, list | tuple) or len(value) > (self.most or len(value)):
            raise RejectedError
        return tuple(self.item.check(part) for part in value)

    def yaml(self, value: object) -> str:
        """A list in brackets."""
        return "[" + ", ".join(quoted(part) for part in cast("tuple[str, ...]", value)) + "]"

    def text(self, value: object) -> str:
        """Items between commas."""
        return ",".join(cast("tuple[str, ...]", value))


@dataclass(frozen=True)
class TextMap(Kind):
    """Names with texts; in a variable `name=text` between commas."""

    accepted: str

    def parse(self, text: str) -> dict[str, str]:
        """`name=text,name=text`; a text may hold a comma where no `name=` follows it."""
        found: dict[str, str] = {}
        last = ""
        for part in text.split(","):
            name, equals, word = part.partition("=")
            if equals and name.strip():
                last = name.strip()
                found[last] = word.strip()
            elif last:
                found[last] += f",{part.strip()}"
            elif part.strip():
                raise RejectedError
        return self.check(found)

    def check(self, value: object) -> dict[str, str]:
        """A mapping of texts to texts that are not empty."""
        if not isinstance(value, Mapping):
            raise RejectedError
        for name, word in value.items():
            if not isinstance(name, str) or not isinstance(word, str) or not name or not word:
                raise RejectedError
        return dict(value)

    def yaml(self, value: object) -> str:
        """A mapping in braces."""
        pairs = cast("dict[str, str]", value).items()
        return "{" + ", ".join(f"{quoted(name)}: {quoted(word)}" for name, word in pairs) + "}"

    def text(self, value: object) -> str:
        """`name=text` between commas."""
        return ",".join(f"{name}={word}" for name, word in cast("dict[str, str]", value).items())


def quoted(text: str) -> str:
    """A text for a YAML file, in quotes where it needs them."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    # What does not print would break the line, or could not be seen.
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'


def declared(default: T, kind: Kind, doc: str, option: str = "") -> T:
    """Declare a key: its default, what is accepted, its meaning, and its option if it has one."""
    return field(default=default, metadata=facts_of_key(kind, doc, option))


def facts_of_key(kind: Kind, doc: str, option: str = "") -> dict[str, object]:
    """What a field of a section carries, for one whose default is made by a function."""
    return {"kind": kind, "doc": doc, "option": option}
