"""What the server tells of its serving and of its swarm, read from the lines that it prints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ResourceSample,
    ServerRecord,
    ServerSpec,
)
from torbiz_tui.hardware.gpu_use import GpuUse
from torbiz_tui.paths import Paths
from torbiz_tui.sharing import measuring
from torbiz_tui.sharing.histories import KEPT, Histories
from torbiz_tui.sharing.holding import HeldState
from torbiz_tui.sharing.known_lines import take_line
from torbiz_tui.sharing.measuring import TrafficMeter, gpu_number, traffic_of
from torbiz_tui.sharing.served import Served, SwarmSeen, read_swarm
from torbiz_tui.sharing.state import Phase, SharingState

# Recorded from a server of the demo model that answered a question.
OPEN = "Nov 27 09:00:28.041 [INFO] rpc_inference.open(blocks=0:8, remote_peer=...c8AjyG)"
CLOSE = "Nov 27 09:00:40.041 [INFO] rpc_inference.close(blocks=0:8, remote_peer=...c8AjyG)"
BUSY = (
    "Nov 27 09:00:31.852 [DEBUG] [served_counters._tell:265] Serving: 16.5 tokens/s, 8+42 tokens,"
    " 1 open of 1 requests, cache 2048/4096 tokens 16777216/33554432 bytes, 39664/26503 bytes,"
    " 1 clients: c8AjyG"
)
IDLE = (
    "Nov 27 09:00:41.853 [DEBUG] [served_counters._tell:265] Serving: 0.0 tokens/s, 8+42 tokens,"
    " 0 open of 1 requests, cache 0/4096 tokens 0/33554432 bytes, 39664/26503 bytes, 0 clients"
)
AGAIN = "Nov 27 09:01:00.000 [INFO] Starting a server for /models/demo"
WHOLE = "Nov 27 09:00:03.931 [INFO] Swarm: 3 servers, whole"
HOLES = "Nov 27 09:00:33.931 [INFO] Swarm: 1 servers, nobody serves 8:12 15:16"


def after(*lines: str) -> SharingState:
    state = SharingState(phase=Phase.SERVING)
    for line in lines:
        state = take_line(state, line)
    return state


def test_its_own_numbers_are_taken() -> None:
    state = after(OPEN, BUSY)
    assert state.served == Served(
        rate=16.5,
        prompt_tokens=8,
        generated_tokens=42,
        open=1,
        requests=1,
        cache_tokens=2048,
        cache_tokens_size=4096,
        cache_bytes=16777216,
        cache_bytes_size=33554432,
        received=39664,
        sent=26503,
        clients=1,
        client_names=("c8AjyG",),
    )
    assert (state.requests_open, state.requests_total) == (1, 1)
    assert state.events == ()


def test_requests_are_right_also_where_the_log_begins_late() -> None:
    # The line of the session's begin is in a log that was rotated away.
    state = after(BUSY)
    assert (state.requests_open, state.requests_total) == (1, 1)
    state = after(BUSY, CLOSE, IDLE)
    assert state.requests_open == 0
    assert state.served is not None
    assert (state.served.clients, state.served.cache_tokens, state.served.rate) == (0, 0, 0.0)


def test_training_requests_count_though_they_are_over_at_once() -> None:
    state = after("Nov 27 09:00:28.041 [INFO] rpc_forward_stream(blocks=0:8, remote_peer=...c8A)")
    assert (state.requests_open, state.requests_total) == (0, 1)


def test_what_was_served_before_a_restart_counts_in() -> None:
    state = after(BUSY, AGAIN)
    assert state.served is None
    state = after(BUSY, AGAIN, BUSY)
    assert state.served is not None
    assert (state.served.tokens, state.requests_total, state.served.sent) == (100, 2, 53006)
    assert after(BUSY, AGAIN, AGAIN, BUSY).requests_total == 2


def test_the_swarm_is_told_and_its_holes_are_events() -> None:
    state = after(WHOLE)
    assert state.swarm == SwarmSeen(3)
    assert state.swarm.sentence == "whole, 3 servers"
    assert state.events == ()
    state = after(WHOLE, HOLES)
    assert state.swarm is not None
    assert state.swarm.sentence == "1 server, blocks 8:12, 15:16 lack a server"
    assert state.events[-1].text == "In the swarm, blocks 8:12, 15:16 lack a server"
    assert state.events[-1].warning
    assert after(WHOLE, HOLES, WHOLE).events[-1].text == "The swarm is whole again"
    # Servers that come and go are no events while no block depends on them.
    assert len(after(WHOLE, HOLES, WHOLE, WHOLE.replace("3 servers", "9 servers")).events) == 2


@pytest.mark.parametrize(
    "line",
    [
        "Serving: 1.0 tokens/s",
        "Serving: everything",
        BUSY.replace("16.5", "-1"),
        BUSY.replace("c8AjyG", "[red]x"),
        "Swarm: 2 servers, nobody serves",
        "Swarm: many servers, whole",
    ],
)
def test_lines_of_another_form_change_nothing(line: str) -> None:
    state = after(line)
    assert (state.served, state.swarm) == (None, None)


def test_many_holes_are_cut() -> None:
    seen = read_swarm("Swarm: 9 servers, nobody serves 0:1 2:3 4:5 6:7 8:9")
    assert seen is not None
    assert seen.sentence == "9 servers, blocks 0:1, 2:3, 4:5, 6:7, … lack a server"


def test_histories_are_bounded_and_leave_out_what_nobody_tells() -> None:
    grown = Histories()
    for count in range(KEPT + 20):
        grown = grown.grown(ResourceSample(float(count), 5, 3), None, None, None)
    assert grown.cpu[-1] == KEPT + 19
    assert len(grown.cpu) == len(grown.memory) == KEPT
    assert grown.tokens == grown.gpu == grown.received == ()
    one = Histories().grown(ResourceSample(1.0, 5, 3), 2.5, (10.0, 20.0), GpuUse(45.0, 2**30))
    assert (one.tokens, one.gpu, one.gpu_memory, one.received, one.sent) == (
        (2.5,),
        (45.0,),
        (float(2**30),),
        (10.0,),
        (20.0,),
    )


def test_traffic_is_the_containers_or_that_of_the_sessions() -> None:
    state = after(BUSY)
    native = ResourceSample(1.0, 5, 3)
    assert traffic_of(state, native) == (39664, 26503)
    assert traffic_of(state, ResourceSample(1.0, 5, 3, 7, 8)) == (7, 8)
    assert traffic_of(SharingState(), native) is None
    meter = TrafficMeter()
    assert meter.rates((100, 10), 1.0) is None
    assert meter.rates((300, 20), 3.0) == (100.0, 5.0)
    # A server that was started again counts from zero.
    assert meter.rates((0, 0), 4.0) == (0.0, 0.0)


async def test_samples_become_the_state_and_its_histories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def gpu_use(number: int, _environ: object) -> GpuUse:
        looks.append(number)
        return GpuUse(45.0, 2**30)

    class Driver:
        async def samples(self, _record: object) -> AsyncIterator[ResourceSample]:
            for percent in (10.0, 20.0, 30.0):
                yield ResourceSample(percent, 5, 3)

    monkeypatch.setattr(measuring, "gpu_use", gpu_use)
    held = HeldState(Paths(tmp_path))
    held.set(replace(after(BUSY), spec=ServerSpec("m", "m", 8)))
    record = ServerRecord(
        environment="native", id="1", started_at=0.0, spec=ServerSpec("m", "m", 8)
    )
    driver = cast("EnvironmentDriver", Driver())
    await measuring.measure(driver, record, held, on_gpu=True)
    state = held.now
    assert state.histories.cpu == (10.0, 20.0, 30.0)
    assert state.histories.tokens == (16.5, 16.5, 16.5)
    assert state.histories.received == (0.0, 0.0)
    assert state.gpu == GpuUse(45.0, 2**30)
    # The driver of a GPU is asked now and then only.
    assert looks == [0]
    # A GPU that is seen here is not that of an engine on another machine.
    await measuring.measure(driver, record, held, on_gpu=False)
    assert looks == [0]
    assert held.now.gpu is None


@pytest.mark.parametrize(
    ("device", "number"), [("auto", 0), ("cuda", 0), ("cuda:1", 1), ("cpu", None), ("mps", None)]
)
def test_the_gpu_is_that_of_the_device(device: str, number: int | None) -> None:
    assert gpu_number(ServerSpec("m", "m", 8, device=device)) == number
