"""Filters as a person writes them, `level:warning since:10m timeout`, and as they are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches

from torbiz_tui.config_errors import did_you_mean
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.filtering import Filter, levels_from
from torbiz_tui.logs.moments import ACCEPTED, moment_of, shown_moment
from torbiz_tui.logs.parsing import LEVELS

NAMES = ("level", "source", "since", "until")

_NEARLY = 0.75
_TOKEN = re.compile(
    r"(?P<name>[A-Za-z]+):(?:\"(?P<quoted_value>[^\"]*)\"|(?P<value>\S+))"
    r"|/(?P<regex>(?:\\.|[^\\])+?)/(?=\s|$)"
    r"|\"(?P<quoted>[^\"]*)\"(?=\s|$)"
    r"|(?P<word>\S+)"
)


def filter_from(text: str, now: datetime | None = None) -> Filter:
    """The filter that a text says; an empty one for an empty text.

    `level:`, `source:`, `since:` and `until:` with their values, a regular expression between
    slashes, and words; what is in quotes is taken as it is. Times that say how long ago count from
    `now`. Raises TorbizError (codes `bad_filter`, `bad_pattern`) that names the part that is wrong.
    """
    words: list[str] = []
    pattern = ""
    levels: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    for token in _TOKEN.finditer(text):
        name = (token["name"] or "").lower()
        value = token["quoted_value"] if token["value"] is None else token["value"]
        if token["regex"] is not None:
            if pattern:
                raise _wrong(token[0], "there is a regular expression already", "Take one away.")
            pattern = token["regex"]
        elif name == "level":
            levels |= _levels(token[0], value)
        elif name == "source":
            sources |= frozenset(one for one in value.split(",") if one)
        elif name == "since":
            moment = _moment(token[0], value, now)
            since = moment if since is None else max(since, moment)
        elif name == "until":
            moment = _moment(token[0], value, now)
            until = moment if until is None else min(until, moment)
        else:
            words.append(token[0] if token["quoted"] is None else token["quoted"])
            _refuse_misspelt(token[0], name)
    if pattern and words:
        raise _wrong(
            " ".join(words),
            "a text and a regular expression do not go together",
            "Put the text into the expression, or search for one of them with /.",
        )
    if since is not None and until is not None and until < since:
        raise _wrong(
            f"until {shown_moment(until, now)}",
            f"that is before {shown_moment(since, now)}",
            "Nothing can be from then.",
        )
    return Filter(
        text=pattern or " ".join(words),
        regex=bool(pattern),
        levels=levels,
        sources=sources,
        since=since,
        until=until,
    )


def _levels(token: str, value: str) -> frozenset[str]:
    try:
        return levels_from(value.lower())
    except ValueError:
        near = did_you_mean(value.lower(), LEVELS).removeprefix("; ").removesuffix(".")
        raise _wrong(
            token,
            "there is no such level" + (f", {near}" if near else ""),
            f"The levels are {', '.join(LEVELS)}; the named one and those above it are shown.",
        ) from None


def _moment(token: str, value: str, now: datetime | None) -> datetime:
    try:
        return moment_of(value, now)
    except ValueError:
        raise _wrong(token, "that is no time", f"{ACCEPTED[0].upper()}{ACCEPTED[1:]}.") from None


def _refuse_misspelt(token: str, name: str) -> None:
    """Whoever writes `levle:error` does not look for that text."""
    if name not in NAMES and get_close_matches(name, NAMES, 1, _NEARLY):
        raise _wrong(
            token,
            f"there is no {name}:",
            f'{", ".join(f"{known}:" for known in NAMES)} are known. As a text: "{token}".',
        )


def _wrong(token: str, why: str, remedy: str) -> TorbizError:
    return TorbizError(
        f"{token}: {why}{'' if why.endswith('?') else '.'}", remedy=remedy, code="bad_filter"
    )


def told(wanted: Filter, now: datetime | None = None) -> str:
    """What a filter lets through, in a few words; empty when that is everything."""
    return ", ".join(_told(wanted, now))


def _told(wanted: Filter, now: datetime | None) -> Iterator[str]:
    if wanted.levels:
        lowest = min(wanted.levels, key=LEVELS.index)
        whole = wanted.levels == levels_from(lowest)
        yield (
            f"{lowest} and above"
            if whole and lowest != LEVELS[-1]
            else ", ".join(level for level in LEVELS if level in wanted.levels)
        )
    if wanted.sources:
        yield f"of {', '.join(sorted(wanted.sources))}"
    if wanted.since is not None:
        yield f"since {shown_moment(wanted.since, now)}"
    if wanted.until is not None:
        yield f"until {shown_moment(wanted.until, now)}"
    if wanted.text:
        yield f"/{wanted.text}/" if wanted.regex else f"“{wanted.text}”"
