"""Why a server ended, and what to do about it."""

from __future__ import annotations

import re

from torbiz_tui.environments.base import ExitReport
from torbiz_tui.sharing.state import SharingState

# The strings are those of petals 2.2.0, hivemind 1.1.12 and PyTorch.
_CAUSES = (
    (
        re.compile(r"none of the initial_peers responded|failed to connect to bootstrap peers"),
        "None of the initial peers answers.",
        "Check the addresses, and that a server is running there; or start a new swarm.",
    ),
    (
        re.compile(r"is already taken by another peer"),
        "Another server uses the same identity.",
        "Stop the other server on this machine first.",
    ),
    (
        re.compile(r"[Aa]ddress already in use"),
        "The port is taken.",
        "Choose another port (share.port, or --port).",
    ),
    (
        re.compile(r"OutOfMemoryError|does not have enough memory to serve|DefaultCPUAllocator"),
        "The blocks do not fit into memory.",
        "Serve fewer blocks.",
    ),
    (
        re.compile(r"No space left on device|Insufficient disk space"),
        "The disk is full.",
        "Free some space and start again.",
    ),
    (
        re.compile(r"gated repo|GatedRepoError"),
        "The model is gated.",
        "Accept its licence on its page and set HF_TOKEN.",
    ),
)


def explain_end(state: SharingState, report: ExitReport) -> tuple[str, str]:
    """What happened to a server that ended by itself, and what to do about it."""
    text = "\n".join(report.last_lines)
    model = state.spec.model if state.spec is not None else "the model"
    was = "while serving" if state.serving_since is not None else "before it was serving"
    known = not (report.out_of_memory or report.host_stopped)
    for pattern, cause, remedy in _CAUSES:
        if known and pattern.search(text):
            return f"The server of {model} ended {was}. {cause}", remedy
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
