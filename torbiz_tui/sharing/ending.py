"""Why a server ended, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torbiz_tui.environments.base import ExitReport
from torbiz_tui.sharing.downloads import download_failure
from torbiz_tui.sharing.state import SharingState
from torbiz_tui.troubleshooting.recognising import recognise
from torbiz_tui.troubleshooting.symptom import Explanation, Place, Severity

# The last line of `supervise_server.py` in `runner_scripts/`.
_GIVEN_UP = re.compile(r"\), (\d{1,3}) times within an hour: it is not started again$")


def known_end(state: SharingState, report: ExitReport) -> Explanation | None:
    """The known problem that ended it; how it ended counts more than what it said."""
    if report.host_stopped or report.rebooted:
        return None
    lines = (report.sentence(),) if report.out_of_memory else report.last_lines
    in_container = state.container is not None
    return recognise(lines, Place.SERVER, Severity.ERROR, in_container=in_container)


def explain_end(state: SharingState, report: ExitReport) -> tuple[str, str]:
    """What happened to a server that ended by itself, and what to do about it."""
    model = state.spec.model if state.spec is not None else "the model"
    was = "while serving" if state.serving_since is not None else "before it was serving"
    if often := _crashes(report.last_lines):
        was += f", {often} times within an hour, so it is not started again"
    if (failed := download_failure(report.last_lines)) is not None:
        failure = f"The server of {model} ended {was}. {failed.what} {failed.why}".rstrip()
        return failure, failed.remedy
    known = known_end(state, report)
    if known is not None and not report.out_of_memory:
        return f"The server of {model} ended {was}. {known.title}", known.remedy
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
    elif report.rebooted:
        remedy = "Start it again; `torbiz-tui autostart on` has it start with your login."
    elif report.host_stopped:
        remedy = "Start it again once Docker runs."
    elif report.signal == "SIGKILL" and state.container:
        remedy = "Somebody has killed it (`docker kill`, or the system): start it again."
    return f"The server of {model} ended {was}. {report.sentence()}", remedy


def _crashes(lines: Sequence[str]) -> str:
    """How often a server has crashed that is not started again for that; empty otherwise."""
    return next((found[1] for line in lines if (found := _GIVEN_UP.search(line.rstrip()))), "")
