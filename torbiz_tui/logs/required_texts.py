"""What text a regular expression cannot match without."""

from __future__ import annotations

_ENDS_RUN = ".^$"
_OPTIONAL = "*?{"
_KNOWN_GROUPS = ("(?:", "(?=", "(?!", "(?<", "(?P")


def required_texts(pattern: str) -> list[str]:
    """Texts that every match of a pattern has in it, as far as that is easy to see.

    None where it takes more than a look: alternatives, flags, what is in groups.
    """
    runs: list[str] = []
    run = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "|":
            return []
        if character in "([":
            after = _after_group(pattern, at) if character == "(" else _after_class(pattern, at)
            if after is None:
                return []
            runs.append(run)
            run, at = "", after
            continue
        literal, after = character, at + 1
        if character == "\\":
            literal, after = pattern[at + 1 : at + 2], at + 2
            if literal.isalnum() or not literal:
                # A class, an anchor, a reference, a code.
                if literal in "xuUN01234567":
                    return []
                literal = ""
        elif character in _ENDS_RUN + "*+?{})]":
            literal = ""
        following = pattern[after : after + 1]
        if not literal or (following and following in _OPTIONAL):
            runs.append(run)
            run = ""
        else:
            run += literal
            if following == "+":
                runs.append(run)
                run = ""
        if character == "{":
            after = max(after, pattern.find("}", at) + 1)
        at = after
    runs.append(run)
    return [run for run in runs if run]


def _after_group(pattern: str, at: int) -> int | None:
    """Where a group has ended; None when it is not understood."""
    if pattern.startswith("(?", at) and not pattern.startswith(_KNOWN_GROUPS, at):
        return None
    depth = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 2
            continue
        if character == "[":
            after = _after_class(pattern, at)
            if after is None:
                return None
            at = after
            continue
        depth += (character == "(") - (character == ")")
        at += 1
        if not depth:
            return at
    return None


def _after_class(pattern: str, at: int) -> int | None:
    """Where a character class has ended."""
    at += 2 if pattern.startswith("[^", at) else 1
    if pattern.startswith("]", at):
        at += 1
    while at < len(pattern):
        if pattern[at] == "]":
            return at + 1
        at += 2 if pattern[at] == "\\" else 1
    return None
