"""What a server uses and serves, sampled about once a second into short histories."""

from __future__ import annotations

import os
import time
from functools import partial

from torbiz_tui.environments.base import (
    EnvironmentDriver,
    ResourceSample,
    ServerRecord,
    ServerSpec,
)
from torbiz_tui.hardware.gpu_use import GpuUse, gpu_use
from torbiz_tui.sharing.holding import HeldState
from torbiz_tui.sharing.state import SharingState
from torbiz_tui.threads import call_abandonable

# nvidia-smi takes some tens of milliseconds of a processor.
GPU_PERIOD_S = 5.0
GPU_SILENT_S = 60.0


async def measure(
    driver: EnvironmentDriver, record: ServerRecord, held: HeldState, *, on_gpu: bool
) -> None:
    """Put what the server uses into the state, until it has ended.

    `on_gpu`: one of the GPUs that are seen here may be what it computes on.
    """
    gpu = _GpuMeter(gpu_number(record.spec) if on_gpu else None)
    traffic = TrafficMeter()
    async for sample in driver.samples(record):
        use = await gpu.use()
        state = held.now
        if state.active:
            rate = state.served.rate if state.served is not None else None
            if state.paused and rate is not None:
                # It says nothing more; what it said last does not go on.
                rate = 0.0
            rates = traffic.rates(traffic_of(state, sample), time.monotonic())
            held.change(
                resources=sample, gpu=use, histories=state.histories.grown(sample, rate, rates, use)
            )


def traffic_of(state: SharingState, sample: ResourceSample | None) -> tuple[int, int] | None:
    """Bytes received and sent: of a container all of them, else those of the clients' sessions."""
    if sample is not None:
        received, sent = sample.network_rx_bytes, sample.network_tx_bytes
        if received is not None and sent is not None:
            return received, sent
    if state.served is not None:
        return state.served.received, state.served.sent
    return None


def gpu_number(spec: ServerSpec) -> int | None:
    """The number of the GPU that serves, as programs count them; None where none does."""
    if spec.device == "auto":
        return 0
    kind, _, number = spec.device.partition(":")
    return int(number or 0) if kind == "cuda" and (number or "0").isdecimal() else None


class TrafficMeter:
    """Bytes a second from counts that only grow."""

    def __init__(self) -> None:
        self._last: tuple[tuple[int, int], float] | None = None

    def rates(self, counts: tuple[int, int] | None, now: float) -> tuple[float, float] | None:
        """Received and sent a second since the last call; None for the first one."""
        last, self._last = self._last, (counts, now) if counts is not None else None
        if counts is None or last is None or now <= last[1]:
            return None
        (received, sent), passed = last[0], now - last[1]
        return max(0, counts[0] - received) / passed, max(0, counts[1] - sent) / passed


class _GpuMeter:
    """Looks at one GPU from time to time."""

    def __init__(self, number: int | None) -> None:
        self._number = number
        self._next = 0.0
        self._last: GpuUse | None = None

    async def use(self) -> GpuUse | None:
        now = time.monotonic()
        if self._number is None or now < self._next:
            return self._last
        look = partial(gpu_use, self._number, dict(os.environ))
        self._last = await call_abandonable(look, "look at the GPU")
        # There is none, or its driver hangs: either will not change soon.
        self._next = now + (GPU_SILENT_S if self._last is None else GPU_PERIOD_S)
        return self._last
