"""What is known of why a step has failed."""

from __future__ import annotations

from collections.abc import Iterable

from torbiz_tui.errors import ExitCode, TorbizError
from torbiz_tui.setup.step import Step
from torbiz_tui.troubleshooting.recognising import (
    explained,
    recognise,
    where_installed,
    without_server,
)
from torbiz_tui.troubleshooting.symptom import Explanation, Place, Severity


def known_failure(error: TorbizError, printed: Iterable[str], step: Step) -> Explanation | None:
    """The known problem that an error of a step names, else that of its evidence, else of `printed`.

    `printed` are the last lines of the step's tools. What waits for the person has its own words.
    """
    if error.symptom:
        told = explained(error)
        return where_installed(told, in_container=step.in_container) if told is not None else None
    if error.exit_code is ExitCode.BLOCKED:
        return None
    for lines in ((*error.details, error.why, error.what), tuple(printed)):
        told = recognise(lines, Place.SETUP, Severity.ERROR, in_container=step.in_container)
        if told is not None:
            return without_server(told)
    return None
