"""What a symptom is: the strings that are printed, why, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

GAP = "\u2026"
"""Stands in a pattern for what varies."""
_LONGEST_GAP = 1000
# An engine's stamp is before what a container printed.
_LINE_BEGIN = r"^(?:\d\S*Z )?"
_WORD = "A-Za-z0-9_"


class Severity(StrEnum):
    """How bad it is: harmless, something to know of, or nothing works until it is mended."""

    BENIGN = "benign"
    WARNING = "warning"
    ERROR = "error"


class Place(StrEnum):
    """Where a string may be printed: in a log, or in what one tool says when it fails."""

    SERVER = "server"
    CHAT = "chat"
    SETUP = "setup"
    APP = "app"
    ENGINE = "engine"
    BASE_IMAGE = "base_image"
    IMAGE_BUILD = "image_build"
    PACKAGES = "packages"


STACK = frozenset({Place.SERVER, Place.CHAT, Place.SETUP})
"""The logs of what runs with Petals' packages, and of who installs them."""
LOGS = STACK | {Place.APP}
"""Everything that is kept as a log."""


class Machine(StrEnum):
    """The kinds of machines for which remedies differ."""

    DOCKER_DESKTOP = "docker_desktop"
    LINUX = "linux"
    WSL = "wsl"

    @property
    def label(self) -> str:
        """The name for people."""
        return {"docker_desktop": "Docker Desktop", "linux": "Linux", "wsl": "WSL"}[self.value]


class Action(StrEnum):
    """What the app can do about a symptom itself."""

    NONE = ""
    START_DOCKER = "start_docker"
    REBUILD_IMAGE = "rebuild_image"
    REINSTALL_STACK = "reinstall_stack"
    FEWER_BLOCKS = "fewer_blocks"
    OTHER_PORT = "other_port"
    OTHER_SETTINGS = "other_settings"
    RESTART = "restart"
    FREE_DISK = "free_disk"
    NEW_SWARM = "new_swarm"
    HOST_MISSING_BLOCKS = "host_missing_blocks"
    REPLACE_CONTAINER = "replace_container"

    @property
    def label(self) -> str:
        """What it does, as the text of a button; empty for none."""
        return _LABELS[self]


_LABELS = {
    Action.NONE: "",
    Action.START_DOCKER: "Start Docker",
    Action.REBUILD_IMAGE: "Build the image anew",
    Action.REINSTALL_STACK: "Install Petals anew",
    Action.FEWER_BLOCKS: "Share fewer blocks",
    Action.OTHER_PORT: "Choose another port",
    Action.OTHER_SETTINGS: "Share with other settings",
    Action.RESTART: "Start it again",
    Action.FREE_DISK: "Free disk space",
    Action.NEW_SWARM: "Start a new swarm",
    Action.HOST_MISSING_BLOCKS: "Share the missing blocks",
    Action.REPLACE_CONTAINER: "Replace the container",
}


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """Something that goes wrong, and the strings by which it is known.

    `patterns` are texts as they are printed, whole words, without regard to case: `…` stands for
    anything (at an end also for the rest of a word), `^` and `$` at the ends for those of the line.
    `title` says what happened, `remedies` replace the remedy on the machines that they name.
    `code` is that of the error that is made from it, by default its id. `in_setup` says that Setup
    checks it itself, so that what a log says of it may be over. `source` names where the strings
    were read.
    """

    id: str
    title: str
    patterns: tuple[str, ...]
    cause: str
    remedy: str
    places: frozenset[Place]
    source: str
    severity: Severity = Severity.ERROR
    remedies: Mapping[Machine, str] = field(default_factory=dict)
    action: Action = Action.NONE
    code: str = ""
    in_setup: bool = False

    def remedy_on(self, machine: Machine | None) -> str:
        """What to do on such a machine; None where it does not matter or is not known."""
        return self.remedy if machine is None else self.remedies.get(machine, self.remedy)

    @property
    def error_code(self) -> str:
        """The code of the error that is made from it."""
        return self.code or self.id

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """Finds any of the patterns, also in a text of several lines."""
        return re.compile(
            "|".join(_expression(pattern) for pattern in self.patterns),
            re.IGNORECASE | re.MULTILINE | re.ASCII,
        )


@dataclass(frozen=True)
class Explanation:
    """A symptom as a person is told of it, on this machine, with the line that shows it."""

    symptom: Symptom
    title: str
    cause: str
    remedy: str
    action: Action
    line: str


def whole_words(pattern: str) -> list[str]:
    """The words, in small letters, of which each is in every line that a pattern matches."""
    found: list[str] = []
    for part in re.finditer(rf"[^{GAP}]+", pattern.removeprefix("^").removesuffix("$")):
        for word in re.finditer(f"[{_WORD}]+", part[0]):
            cut_before = word.start() == 0 and part.start() > 0
            cut_after = word.end() == len(part[0]) and part.end() < len(part.string)
            if not (cut_before or cut_after):
                found.append(word[0].lower())
    return found


def _expression(pattern: str) -> str:
    begin = _LINE_BEGIN if pattern.startswith("^") else ""
    end = "$" if pattern.endswith("$") else ""
    text = pattern.removeprefix("^").removesuffix("$")
    if re.match(f"[{_WORD}]", text):
        begin = begin or rf"(?<![{_WORD}])"
    if re.search(f"[{_WORD}]$", text):
        end = end or rf"(?![{_WORD}])"
    between = f".{{0,{_LONGEST_GAP}}}?"
    return begin + between.join(re.escape(part) for part in text.split(GAP)) + end
