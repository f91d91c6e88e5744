"""Why a build of the image failed, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from torbiz_tui.environments.docker.build_output import BuildOutput
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.troubleshooting.matching import find
from torbiz_tui.troubleshooting.symptom import Place, Symptom

_SHOWN_LINES = 8


def build_failure(output: BuildOutput) -> TorbizError:
    """The error that names the instruction, the cause as far as it is known, and the last lines."""
    what = "The build of the image failed"
    if output.steps:
        what += f" at step {output.step} of {output.steps}: {redact(output.instruction)}"
    lines = tuple(redact(line) for line in output.last_lines if line.strip())
    said = redact(output.error)
    cause = _find(output, lines)
    return TorbizError(
        f"{what}{'' if what.endswith('.') else '.'}",
        why=cause.cause if cause is not None else said,
        remedy=cause.remedy
        if cause is not None
        else "setup.log has the whole output; try again, or mend what it names.",
        code=cause.error_code if cause is not None else "build_failed",
        details=(*lines[-_SHOWN_LINES:], *([said] if said else [])),
        symptom=cause.id if cause is not None else "",
    )


def _find(output: BuildOutput, lines: Sequence[str]) -> Symptom | None:
    found = find("\n".join((*lines, output.error)), Place.IMAGE_BUILD)
    if found is not None and found.id == "build_disk_full":
        return found
    # A pull is refused before the engine has begun a step, or at FROM.
    if not output.steps or output.instruction.upper().startswith(("FROM", "ARG BASE_IMAGE")):
        return find(output.error, Place.BASE_IMAGE)
    return found
