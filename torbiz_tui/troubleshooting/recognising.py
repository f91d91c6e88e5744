"""What is known of a failure: from what was printed, or from the error that was made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.troubleshooting.install_symptoms import INSTALL_SYMPTOMS
from torbiz_tui.troubleshooting.machine import this_machine
from torbiz_tui.troubleshooting.matching import evidence, explanation, find, match
from torbiz_tui.troubleshooting.symptom import Action, Explanation, Place, Severity
from torbiz_tui.troubleshooting.symptoms import SYMPTOMS

_ON_SERVERS = (Action.FEWER_BLOCKS, Action.OTHER_PORT, Action.RESTART)


def recognise_line(line: str, place: Place, *, in_container: bool) -> Explanation | None:
    """What one line of a log means on this machine, if that is known."""
    symptom = match(line, place)
    if symptom is None:
        return None
    told = explanation(symptom, evidence(line), this_machine())
    return where_installed(told, in_container=in_container)


def recognise(
    lines: Sequence[str], place: Place, severity: Severity | None = None, *, in_container: bool
) -> Explanation | None:
    """The most telling of what lines show that belong together, with the last that shows it."""
    clean = [sanitize_line(line) for line in lines]
    symptom = find("\n".join(clean), place, severity)
    if symptom is None:
        return None
    line = next((line for line in reversed(clean) if symptom.expression.search(line)), "")
    told = explanation(symptom, evidence(line), this_machine())
    return where_installed(told, in_container=in_container)


def where_installed(told: Explanation, *, in_container: bool) -> Explanation:
    """The same with the action that mends the packages where they are: in the image, or in the venv.

    What is not about the packages stays as it is.
    """
    if told.symptom not in INSTALL_SYMPTOMS:
        return told
    action = Action.REBUILD_IMAGE if in_container else Action.REINSTALL_STACK
    return replace(told, action=action)


def with_known(
    error: TorbizError, lines: Sequence[str], place: Place, severity: Severity | None = None
) -> TorbizError:
    """The error with what is known of such lines, if anything: why it happened, and the remedy."""
    known = recognise(lines, place, severity, in_container=False)
    if known is None:
        return error
    return TorbizError(
        error.what,
        why=f"{error.why} {reason(known, error.what)}".strip(),
        remedy=known.remedy,
        code=error.code,
        details=error.details,
        symptom=known.symptom.id,
    )


def explained(error: TorbizError) -> Explanation | None:
    """What is known of an error; None where it was not made from a symptom."""
    for symptom in SYMPTOMS:
        if symptom.id == error.symptom:
            said = [sanitize_line(line) for line in (*error.details, error.why, error.what)]
            line = next((line for line in said if symptom.expression.search(line)), error.what)
            told = explanation(symptom, evidence(line), this_machine())
            return where_installed(told, in_container=False)
    return None


def without_server(told: Explanation) -> Explanation:
    """The same where no server is concerned: nothing is offered that only mends a server."""
    return replace(told, action=Action.NONE) if told.action in _ON_SERVERS else told


def reason(told: Explanation, said: str) -> str:
    """Why it happened, as the part of an error that begins with `said`."""
    title = told.title.removesuffix(".")
    return told.cause if title.casefold() in said.casefold() else f"{told.title} {told.cause}"
