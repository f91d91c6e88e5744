"""What a setup step is: it can be checked, applied, and says what it found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Readiness(StrEnum):
    """What a check finds."""

    READY = "ready"
    MISSING = "missing"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check.

    `detail` is one line of what was found. `instruction` says what the person has to do; it goes
    with BLOCKED, where `apply` could not help.
    """

    readiness: Readiness
    detail: str = ""
    instruction: str = ""

    @classmethod
    def ready(cls, detail: str = "") -> CheckResult:
        """All is there."""
        return cls(Readiness.READY, detail)

    @classmethod
    def missing(cls, detail: str = "") -> CheckResult:
        """Something is missing that `apply` can bring."""
        return cls(Readiness.MISSING, detail)

    @classmethod
    def blocked(cls, detail: str, instruction: str) -> CheckResult:
        """Only the person can go on."""
        return cls(Readiness.BLOCKED, detail, instruction)


@dataclass(frozen=True)
class Reporter:
    """How a running step tells of itself.

    `progress(fraction, text)`: fraction from 0 to 1, or None when it is not known; `output(line)`:
    one line of what its tools print, unsanitized.
    """

    progress: Callable[[float | None, str], None]
    output: Callable[[str], None]


SILENT = Reporter(progress=lambda _fraction, _text: None, output=lambda _line: None)
"""For who tells nobody."""


class Step(ABC):
    """One step of the setup.

    `check` must be quick and change nothing. `apply` does the work, may be cancelled at any
    await, and raises TorbizError; after it, `check` is asked again. `apply` must be safe to repeat
    after having been killed anywhere. `in_container`: what it brings is in a container's image.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[bool] = False
    in_container: ClassVar[bool] = False

    @abstractmethod
    async def check(self) -> CheckResult:
        """See whether the step is done."""

    @abstractmethod
    async def apply(self, report: Reporter) -> None:
        """Bring what is missing. Raises TorbizError."""
