"""The pins of the Petals stack, for the release and for Petals' main branch."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from torbiz_tui.catalogue import MAIN
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.paths import requirements_file

# What uv and git say when they cannot reach a repository.
_FROM_GIT = re.compile(r"git operation failed|git fetch|git\+https|github\.com", re.IGNORECASE)


@dataclass(frozen=True)
class Pin:
    """One pinned package.

    `loose`: that some version is there has to do, since the line is for some platforms only or
    names a commit.
    """

    name: str
    version: str
    loose: bool


def pins_text(channel: str) -> str:
    """The requirements of a channel, complete; for `main` some lines of the release's replaced."""
    release = requirements_file().read_text("utf-8")
    if channel != MAIN:
        return release
    other = requirements_file().with_name("requirements-main.txt").read_text("utf-8")
    replaced = {pin.name for pin in pins_of(other)}
    kept = [line for line in release.splitlines() if not _names(line) & replaced]
    return "\n".join([*kept, *other.splitlines()]) + "\n"


def _names(line: str) -> set[str]:
    return {pin.name for pin in pins_of(line)}


def pins_of(text: str) -> list[Pin]:
    """The packages of a requirements file; those for Windows alone are left out."""
    found = []
    for line in text.splitlines():
        requirement, _, marker = re.sub(r"(^|\s)#.*", "", line).partition(";")
        name, at, _address = requirement.partition(" @ ")
        if at:
            found.append(Pin(normal_name(name.strip()), "", loose=True))
            continue
        name, equals, version = requirement.strip().partition("==")
        if equals:
            found.append(Pin(normal_name(name), version.strip(), loose=bool(marker.strip())))
    return [pin for pin in found if not (pin.loose and pin.name == "colorama")]


def normal_name(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def torch_pin(pins: Sequence[Pin]) -> str:
    """The requirement of torch."""
    return next(f"{pin.name}=={pin.version}" for pin in pins if pin.name == "torch")


def require_git() -> None:
    """Raises BlockedError when there is no git, which Petals' main branch is fetched with."""
    if shutil.which("git") is None:
        raise BlockedError(
            "Petals' main branch needs git and github.com.",
            why="There is no git on this machine, and PyPI has only the release.",
            remedy="Install git, or set petals.channel: release.",
            code="git_missing",
        )


def explain_git_failure(error: TorbizError) -> TorbizError:
    """The same failure, said as one of github.com where it is one."""
    if not _FROM_GIT.search("\n".join((error.what, error.why, *error.details))):
        return error
    return TorbizError(
        "Petals' main branch could not be fetched: it needs git and github.com.",
        why=error.why or error.what,
        remedy="See that github.com is reached from here (a proxy, a firewall), or set"
        " petals.channel: release.",
        code="git_unreachable",
        details=error.details,
    )
