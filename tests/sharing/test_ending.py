"""Why a server has ended is told from its last lines, and from how it ended."""

from __future__ import annotations

import pytest

from torbiz_tui.environments.base import ExitReport
from torbiz_tui.sharing.downloads import download_failure
from torbiz_tui.sharing.ending import explain_end
from torbiz_tui.sharing.state import SharingState


@pytest.mark.parametrize(
    ("line", "cause", "remedy"),
    [
        ("GatedRepoError: 401 Client Error.", "The model is gated.", "set HF_TOKEN"),
        ("m/x is a gated model: accept its licence.", "The model is gated.", "set HF_TOKEN"),
        ("OSError: [Errno 98] Address already in use", "The port is taken.", "--port"),
        ("torch.cuda.OutOfMemoryError: CUDA", "do not fit into memory", "fewer blocks"),
        ("OSError: [Errno 28] No space left on device", "The disk is full.", "Free some space"),
        ("AssertionError: GPU is not available. If you want to run a CPU-only server, please"
         " specify --num_blocks.", "how many blocks", "--blocks"),
        ("ModuleNotFoundError: No module named 'petals'", "packages of Petals", "Setup"),
    ],
)  # fmt: skip
def test_the_last_lines_tell_the_cause(line: str, cause: str, remedy: str) -> None:
    told = explain_end(SharingState(), ExitReport(code=1, last_lines=("Traceback:", line)))
    assert cause in told[0]
    assert remedy in told[1]


def test_a_warning_is_not_why_it_ended() -> None:
    lines = ("[WARN] One of subprocesses crashed, restarting the server",)
    failure, remedy = explain_end(SharingState(), ExitReport(code=3, last_lines=lines))
    assert "exit code 3" in failure
    assert "petals_seeder.log" in remedy


def test_how_it_ended_counts_more_than_what_it_said() -> None:
    lines = ("OSError: [Errno 98] Address already in use",)
    report = ExitReport(code=137, out_of_memory=True, last_lines=lines)
    failure, remedy = explain_end(SharingState(), report)
    assert "ran out of memory" in failure
    assert "fewer blocks" in remedy


def test_that_it_is_not_started_again_is_told() -> None:
    line = "Nov 27 15:37:16.456 [ERROR] The server crashed (SIGKILL), 6 times within an hour: it is not started again"
    report = ExitReport(code=None, signal="SIGKILL", last_lines=(line,))
    failure, _remedy = explain_end(SharingState(serving_since=1.0), report)
    assert "ended while serving, 6 times within an hour, so it is not started again." in failure
    assert "SIGKILL" in failure


def test_a_failed_download_is_told_with_its_own_remedy() -> None:
    lines = (
        "Nov 23 20:42:51.000 [ERROR] [run_petals_seeder.main:83] Download failed (model_gated):"
        " m/x is a gated model, and the account of your token has no access to it."
        " Why: Its licence was not accepted. What to do: Open https://hub/m/x, then start again.",
    )
    report = ExitReport(code=1, last_lines=lines)
    failure, remedy = explain_end(SharingState(), report)
    assert "m/x is a gated model, and the account of your token has no access to it." in failure
    assert remedy == "Open https://hub/m/x, then start again."
    error = download_failure(lines)
    assert error is not None
    assert (error.code, error.why) == ("model_gated", "Its licence was not accepted.")
