"""Errors that are meant for a person: what happened, why, and what to do next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line, as `docs/commands.md` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BLOCKED = 3
    NOT_SHARING = 4
    NOT_SERVED = 5
    INTERRUPTED = 130


class TorbizError(Exception):
    """A failure that a person has to know of; it is shown as it is, never as a traceback.

    `what` is one sentence, `why` the cause as far as it is known, `remedy` the next thing to do,
    `details` lines of evidence (the last lines of a log, say). `code` is a stable name for
    programs and tests; `symptom` the id of the known symptom that it was made from, if any.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        remedy: str = "",
        code: str = "failed",
        details: tuple[str, ...] = (),
        symptom: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.code = code
        self.details = details
        self.symptom = symptom

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.remedy) if part)

    def lines(self) -> list[str]:
        """The error as lines for a terminal: what, why, remedy, then the evidence indented."""
        head = [part for part in (self.what, self.why, self.remedy) if part]
        return head + [f"    {line}" for line in self.details]


class UsageError(TorbizError):
    """The call or the configuration is wrong; nothing was started."""

    exit_code = ExitCode.USAGE


class NotServedError(TorbizError):
    """Nobody serves the model, or some of its blocks.

    `missing` are the ranges of blocks [first, end), empty where they are not known.
    """

    exit_code = ExitCode.NOT_SERVED

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        remedy: str = "",
        code: str = "missing_blocks",
        missing: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__(what, why=why, remedy=remedy, code=code)
        self.missing = missing


class BlockedError(TorbizError):
    """Only the person can do what comes next."""

    exit_code = ExitCode.BLOCKED
