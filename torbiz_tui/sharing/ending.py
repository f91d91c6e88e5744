"""Why a server ended, and what to do about it."""

from __future__ import annotations

from torbiz_tui.environments.base import ExitReport
from torbiz_tui.sharing.state import SharingState
from torbiz_tui.troubleshooting.machine import this_machine
from torbiz_tui.troubleshooting.matching import find
from torbiz_tui.troubleshooting.symptom import Place, Severity


def explain_end(state: SharingState, report: ExitReport) -> tuple[str, str]:
    """What happened to a server that ended by itself, and what to do about it."""
    text = "\n".join(report.last_lines)
    model = state.spec.model if state.spec is not None else "the model"
    was = "while serving" if state.serving_since is not None else "before it was serving"
    if not (report.out_of_memory or report.host_stopped):
        symptom = find(text, Place.SERVER, Severity.ERROR)
        if symptom is not None:
            failure = f"The server of {model} ended {was}. {symptom.title}"
            return failure, symptom.remedy_on(this_machine())
    remedy = "Start it again; its log (petals_seeder.log) has the details."
    if report.memory_limit is not None and report.signal and not report.out_of_memory:
        remedy = (
            "Either somebody has killed it, or it needed more than the"
            f" {report.memory_limit / 2**20:.0f} MiB of memory that it may use: allow it more"
            " (docker.memory), or serve fewer blocks."
        )
    elif report.memory_limit is not None:
        remedy = "Allow it more memory (docker.memory), or serve fewer blocks."
    elif report.out_of_memory:
        remedy = (
            "Serve fewer blocks, or free memory; Docker Desktop's own limit is in its Settings,"
            " Resources."
            if state.container
            else "Serve fewer blocks, or free memory."
        )
    elif report.host_stopped:
        remedy = "Start it again once Docker runs."
    elif report.signal == "SIGKILL" and state.container:
        remedy = "Somebody has killed it (`docker kill`, or the system): start it again."
    return f"The server of {model} ended {was}. {report.sentence()}", remedy
