"""The state of a server read from the lines that Petals really prints."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.private_swarms.peers import identity, peer
from torbiz_tui.sharing.stages import advance
from torbiz_tui.sharing.state import Phase, SharingState, Stage

# Recorded from a server of eight blocks on loopback (petals 2.2.0.post1, hivemind 1.1.12).
START = """\
Nov 23 20:42:50.838 [INFO] Starting a server for /models/tiny
Nov 23 20:42:52.354 [INFO] Running Petals 2.2.0.post1
Nov 23 20:42:52.357 [INFO] This server is accessible directly
Nov 23 20:42:53.397 [INFO] Connecting to a private swarm, initial peers: []
Nov 23 20:42:53.398 [INFO] Running a server on ['/ip4/127.0.0.1/tcp/31999/p2p/QmRTEffS2nUZnkYbRpfm']
Nov 23 20:42:53.398 [INFO] Model weights are loaded in float32 format
Nov 23 20:42:53.398 [INFO] Attention cache for all blocks will consume up to 0.03 GiB
Nov 23 20:42:53.410 [INFO] Reporting throughput: 1021.6 tokens/sec for 8 blocks
Nov 23 20:42:53.426 [INFO] Announced that blocks range(0, 8) are joining
Nov 23 20:42:53.437 [INFO] Loaded /models/tiny block 0
Nov 23 20:42:53.452 [INFO] Loaded /models/tiny block 1""".splitlines()
REST = [f"Nov 23 20:42:53.46{n} [INFO] Loaded /models/tiny block {n}" for n in range(2, 8)]
STARTED = "Nov 23 20:42:53.733 [INFO] Started"
CONFIRMED = "Nov 23 20:42:53.822 [INFO] Confirmed in the DHT: blocks 0:8 are online"


def after(*lines: str, state: SharingState | None = None) -> SharingState:
    state = state or SharingState(phase=Phase.STARTING, stage=Stage.LAUNCHING)
    for line in lines:
        state = advance(state, line)
    return state


def test_loading_counts_the_blocks() -> None:
    state = after(*START)
    assert state.stage_text == "Loading blocks: 2 of 8"
    assert state.blocks == (0, 8)
    assert state.throughput == 1021.6
    assert state.addresses == ("/ip4/127.0.0.1/tcp/31999/p2p/QmRTEffS2nUZnkYbRpfm",)


def test_an_adapter_of_a_block_is_not_another_block() -> None:
    loaded = "Nov 23 20:42:53.460 [INFO] Loaded adapter acme/lora for block 1"
    assert after(*START, loaded).stage_text == "Loading blocks: 2 of 8"


def test_a_loaded_block_is_not_yet_serving() -> None:
    state = after(*START, *REST)
    assert state.phase is Phase.STARTING
    assert after(STARTED, state=state).phase is Phase.STARTING


def test_serving_is_what_the_dht_confirms() -> None:
    state = after(*START, *REST, STARTED, CONFIRMED)
    assert state.phase is Phase.SERVING
    assert state.serving_since is not None
    assert state.events[-1].text == "Serving blocks 0:8, confirmed in the DHT"


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("Announced that blocks range(4, 8) are joining", (4, 8)),
        ("Announced that blocks [3, 4, 5] are joining", (3, 6)),
    ],
)
def test_both_forms_of_the_announcement(text: str, blocks: tuple[int, int]) -> None:
    assert after(f"Nov 23 20:42:53.426 [INFO] {text}").blocks == blocks


def test_requests_are_counted() -> None:
    state = after(
        "Nov 23 20:42:58.426 [INFO] rpc_inference.open(blocks=0:8, remote_peer=...SRx4yK)",
        "Nov 23 20:42:58.868 [INFO] rpc_inference.close(blocks=0:8, remote_peer=...SRx4yK)",
        "Nov 23 20:42:58.869 [INFO] rpc_inference.open(blocks=0:8, remote_peer=...SRx4yK)",
    )
    assert (state.requests_open, state.requests_total) == (1, 2)


def test_warnings_become_events_without_escapes_or_tokens() -> None:
    state = after(
        "Nov 23 20:42:58.426 [WARN] [petals.server.server.run:312] \x1b[31mtoken hf_abcdefghijkl12"
    )
    assert state.events[-1].warning
    assert state.events[-1].text == "token [redacted]"


def test_foreign_lines_change_nothing() -> None:
    state = SharingState(phase=Phase.STARTING, stage=Stage.LOADING)
    for line in ("", "garbage", "[red]Started[/red]", "Started soon", "\x00\x1b]0;title\x07"):
        assert advance(state, line) is state


def test_a_second_run_in_the_same_log_starts_anew() -> None:
    serving = after(*START, *REST, STARTED, CONFIRMED, "rpc_inference.open(blocks=0:8)")
    again = after(START[0], state=serving)
    assert (again.phase, again.stage) == (Phase.STARTING, Stage.LAUNCHING)
    assert (again.blocks, again.requests_open, again.serving_since) == (None, 0, None)
    assert after(*START[1:], *REST, STARTED, CONFIRMED, state=again).phase is Phase.SERVING


def test_why_petals_tries_again_is_told() -> None:
    state = after(
        "Nov 24 03:11:22.614 [WARN] [petals.server.from_pretrained._load:216] Failed to load file"
        " model.safetensors from HF Hub (retry in 30 sec)",
        "Traceback (most recent call last):",
        "RuntimeError: Insufficient disk space to load a block. Please free 1.0 GiB on the volume",
    )
    assert [event.text.split(":")[0] for event in state.events if event.warning] == [
        "Failed to load file model.safetensors from HF Hub (retry in 30 sec)",
        "RuntimeError",
    ]


def test_a_crash_is_told_with_the_time_of_the_next_start() -> None:
    crashed = "Nov 23 20:50:00.000 [WARN] The server crashed (SIGKILL): it is started again in 15 s"
    state = after(*START, *REST, STARTED, CONFIRMED, crashed)
    assert state.phase is Phase.STARTING
    assert state.blocks is None
    assert state.stage_text.startswith("Crashed; starting again at ")
    assert state.stage_text.endswith("50:15")
    assert state.events[-1].warning
    assert "SIGKILL" in state.events[-1].text
    state = after(START[0], state=state)
    assert state.stage_text == "Starting Petals"
    assert state.events[-1].text == "The server was started again"
    assert after(*START[1:], *REST, STARTED, CONFIRMED, state=state).phase is Phase.SERVING


def test_a_download_is_told_with_its_size_rate_and_time() -> None:
    state = after(
        START[0],
        "Nov 23 20:42:51.000 [INFO] Downloading: 0 of 3400000000 bytes, 0 bytes/s",
        "Nov 23 20:42:51.600 [INFO] Downloading: 1200000000 of 3400000000 bytes, 45000000 bytes/s,"
        " 49 s left",
    )
    assert state.stage_text == "Downloading: 1.2 of 3.4 GB, 45 MB/s, 49 s left"
    assert [event.text for event in state.events] == ["Downloading the blocks"]
    state = after(
        "Nov 23 20:42:52.000 [WARN] [download_progress.waiting:51] Download: the connection was cut;"
        " going on in 4 s",
        state=state,
    )
    assert state.stage_text == "Downloading: 1.2 of 3.4 GB, waiting: the connection was cut"
    assert state.events[-1].warning
    assert after(*START[3:], state=state).stage_text == "Loading blocks: 2 of 8"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Downloading: 5000 of 99000 bytes, 2500 bytes/s, 37 s left", "5 of 99 kB, 2.5 kB/s, 37 s left"),
        ("Downloading: 1 of 2000000 bytes, 1 bytes/s, 90000 s left", "0.0 of 2.0 MB, 0.0 kB/s, 25 h 0 min left"),
        ("Downloading: 7000000 of 7000000 bytes, 1000000 bytes/s, 0 s left", "7.0 of 7.0 MB, 1.0 MB/s"),
    ],
)  # fmt: skip
def test_a_download_in_words(line: str, text: str) -> None:
    assert after(f"Nov 23 20:42:51.000 [INFO] {line}").stage_text == f"Downloading: {text}"


def test_a_pause_is_told_with_its_reason() -> None:
    told = "Nov 23 20:50:00.000 [INFO] Sharing pauses: it serves at 22:00-07:00 only"
    state = after(*START, *REST, STARTED, CONFIRMED, told)
    assert state.phase is Phase.STARTING
    assert state.stage_text == "Paused: it serves at 22:00-07:00 only"
    state = after(START[0], state=state)
    assert state.stage_text == "Starting Petals"
    assert after(told).stage_text.startswith("Paused: ")


def test_the_peers_that_a_server_knows_are_those_it_told_last() -> None:
    begin = f"Nov 23 20:43:01.001 [INFO] Peers of the swarm, seen by {identity(1)}: "
    state = after(*START, f"{begin}{[peer(2), 'nonsense', 7]}", f"{begin}{[peer(2), peer(3)]}")
    assert state.peers_seen == (peer(2), peer(3))
    assert after(f"{begin}[__import__('os')]", state=state).peers_seen == (peer(2), peer(3))


def test_a_server_whose_first_lines_were_rotated_away_is_not_one_that_starts() -> None:
    served = (
        "Nov 27 10:00:00.1 [DEBUG] [served_counters._tell:1] Serving: 12.3 tokens/s, 1204+512 tokens,"
        " 1 open of 14 requests, cache 640/8192 tokens 1310720/16777216 bytes, 90210/45105 bytes,"
        " 1 clients: SRx4yK"
    )
    state = after(served)
    assert (state.phase, state.requests_total, state.blocks) == (Phase.SERVING, 14, None)
    still = (
        "Nov 27 10:20:00.1 [DEBUG] [confirming._tell_again:1] Still serving: blocks 0:8 since"
        " 1764200000, 1021.6 tokens/s, at ['/ip4/127.0.0.1/tcp/31999/p2p/QmRTEffS2nUZnkYbRpfm']"
    )
    state = after(still, state=state)
    assert (state.blocks, state.serving_since) == ((0, 8), 1764200000.0)
    assert state.addresses == ("/ip4/127.0.0.1/tcp/31999/p2p/QmRTEffS2nUZnkYbRpfm",)
    # Who knows it from the beginning learns nothing new.
    known = after(*START, *REST, STARTED, CONFIRMED)
    assert after(still, state=known) is known


@pytest.fixture
def berlin() -> Iterator[None]:
    """A place whose summer time ends on October 25, 2026 at 03:00, which is 02:00 then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


FIRST_HALF_PAST_TWO = 1_792_888_200.0


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "stamp", "at"),
    [
        # Ten minutes later, in the same hour.
        (FIRST_HALF_PAST_TWO + 600, "Oct 25 02:30:00", FIRST_HALF_PAST_TWO),
        # The hour is repeated, and what it says now is from now.
        (FIRST_HALF_PAST_TWO + 3600, "Oct 25 02:30:00", FIRST_HALF_PAST_TWO + 3600),
        (FIRST_HALF_PAST_TWO + 9000, "Oct 25 01:30:00", FIRST_HALF_PAST_TWO - 3600),
        # Read in the new year.
        (1_798_761_600.0, "Oct 25 12:00:00", 1_792_926_000.0),
        (1_798_761_600.0, "Jul 01 12:00:00", 1_782_900_000.0),
    ],
)
def test_a_stamp_is_never_an_hour_ahead(
    monkeypatch: pytest.MonkeyPatch, now: float, stamp: str, at: float
) -> None:
    monkeypatch.setattr("torbiz_tui.sharing.stages.time.time", lambda: now)
    assert after(f"{stamp}.123 [INFO] Started").events[-1].at == at
