"""What is wrong with a configuration: all of it at once, each with its place and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torbiz_tui.errors import UsageError

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Problem:
    """One mistake; `where` is a file with its line, a variable or an option."""

    where: str
    key: str
    text: str

    def __str__(self) -> str:
        return printable(": ".join(part for part in (self.where, self.key, self.text) if part))


class ConfigError(UsageError):
    """The configuration is not valid; it carries all that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        mistakes = "a mistake" if count == 1 else f"{count} mistakes"
        # Who has mistyped an option need not look for a file.
        typed = all(problem.where.startswith("--") for problem in self.problems)
        place = "command line" if typed else "configuration"
        super().__init__(
            f"The {place} has {mistakes}:",
            code="config_invalid",
            details=tuple(str(problem) for problem in self.problems),
        )

    def __str__(self) -> str:
        return " ".join((self.what, *self.details))


def rejected(where: str, key: str, value: str, accepted: str, reason: str = "") -> Problem:
    """The problem of a value that is not accepted; `reason` says it better where there is one."""
    general = f"{shown(value)} is not accepted; accepted is {accepted}."
    return Problem(where, key, reason or general)


def shown(value: str) -> str:
    """A foreign value in quotes, short and safe to print."""
    clean = printable(value)
    if len(clean) > _SHOWN_CHARACTERS:
        clean = clean[:_SHOWN_CHARACTERS] + "…"
    return f"'{clean}'"


def printable(text: str) -> str:
    """A foreign text with escapes in place of what a terminal would act upon."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant; empty when none is near."""
    import difflib

    by_case = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.6)
    return by_case[close[0]] if close else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or a full stop."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else "."
