"""What the server's log shows of known troubles is said at its events, and when it has ended."""

from __future__ import annotations

import pytest

from torbiz_tui.environments.base import ExitReport
from torbiz_tui.sharing.ending import explain_end, known_end
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.state import Phase, SharingState
from torbiz_tui.troubleshooting.symptom import Action

CLOCK = (
    "Nov 23 20:42:58.426 [WARN] [hivemind.dht.protocol.call:101] ValidationError: local time must"
    " be within 3 seconds  of others(local: 1, peer: 2)"
)
MEMORY = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
BROKEN = "ModuleNotFoundError: No module named 'hivemind'"


def after(*lines: str, container: str | None = None) -> SharingState:
    state = SharingState(phase=Phase.STARTING, container=container)
    for line in lines:
        state = take_line(state, line)
    return state


def test_a_warning_says_what_it_means() -> None:
    state = after(CLOCK)
    assert state.problem is not None
    assert state.problem.title == "The clock of this machine is wrong."
    assert state.events[-1].text.startswith("ValidationError: local time")


def test_the_last_line_of_a_traceback_is_an_event_once() -> None:
    state = after("Traceback (most recent call last):", MEMORY, MEMORY)
    assert [event.text for event in state.events] == [MEMORY]
    assert state.events[0].warning
    assert state.problem is not None
    assert state.problem.action is Action.FEWER_BLOCKS


def test_a_line_of_a_traceback_has_the_time_and_the_words_of_what_happened() -> None:
    begun = (
        "Nov 23 20:42:58.426 [WARN] [p2p._process_stream:457] Handler failed with the exception:"
    )
    code = '    raise AllocationFailed(f"Could not allocate {alloc_size} bytes immediately")'
    state = take_line(SharingState(phase=Phase.SERVING), begun)
    state = take_line(state, code, begun)
    handler, full = state.events
    assert full.at == handler.at
    assert handler.text == "A client's request has failed; the log says why"
    assert full.text == "A server has no memory left for another session."


def test_what_is_harmless_is_no_problem() -> None:
    state = after(
        "Nov 23 20:42:58.426 [INFO] Network throughput is not available: x. Using default",
        "Nov 23 20:42:58.426 [WARN] [petals.server.throughput.get:93] Network throughput is not"
        " available: x. Using default of 100.00 Mbit/s",
    )
    assert state.problem is None
    assert len(state.events) == 1
    assert state.events[0].known is not None


def test_the_newest_problem_counts_and_that_of_a_stopped_server_does_not() -> None:
    state = after(MEMORY, CLOCK)
    assert state.problem is not None
    assert state.problem.symptom.id == "clock_drift"
    stopped = SharingState(events=state.events)
    assert stopped.problem is None


def test_an_address_of_dockers_network_is_a_warning() -> None:
    state = after("Running a server on ['/ip4/172.17.0.2/tcp/31337/p2p/QmPeer']", container="box")
    assert state.addresses == ("/ip4/172.17.0.2/tcp/31337/p2p/QmPeer",)
    assert state.events[-1].warning
    assert state.problem is not None
    assert "only this machine reaches" in state.problem.title


def test_tokens_and_escapes_of_a_line_are_not_shown() -> None:
    state = after(f"{MEMORY} \x1b[2J hf_abcdefghijklmnop")
    assert state.problem is not None
    for text in (state.events[-1].text, state.problem.line):
        assert "hf_abcdefghijklmnop" not in text
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("container", "action"), [(None, Action.REINSTALL_STACK), ("box", Action.REBUILD_IMAGE)]
)
def test_damaged_packages_are_mended_where_they_are(container: str | None, action: Action) -> None:
    ended = known_end(
        SharingState(container=container), ExitReport(code=1, last_lines=("Traceback", BROKEN))
    )
    assert ended is not None
    assert (ended.action, ended.line) == (action, BROKEN)


def test_who_ran_out_of_memory_is_offered_fewer_blocks() -> None:
    report = ExitReport(code=137, out_of_memory=True, last_lines=(BROKEN,))
    ended = known_end(SharingState(), report)
    assert ended is not None
    assert ended.action is Action.FEWER_BLOCKS
    assert "ran out of memory" in explain_end(SharingState(), report)[0]


def test_an_end_that_nobody_knows_says_nothing_of_it() -> None:
    assert known_end(SharingState(), ExitReport(code=3, last_lines=("bye",))) is None
    stopped = ExitReport(host_stopped=True, last_lines=(MEMORY,))
    assert known_end(SharingState(), stopped) is None
