"""The last minutes of what a server uses and serves, one value a sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torbiz_tui.environments.base import ResourceSample

if TYPE_CHECKING:
    from torbiz_tui.hardware.gpu_use import GpuUse

KEPT = 180

Series = tuple[float, ...]
"""Values in order, the newest last."""


@dataclass(frozen=True)
class Histories:
    """Short histories, each of KEPT values at most.

    CPU in percent of one core, memory in bytes, `gpu` in percent, `gpu_memory` in bytes, traffic in
    bytes a second, `tokens` in tokens a second. A series is empty where nothing tells of it.
    """

    cpu: Series = ()
    memory: Series = ()
    gpu: Series = ()
    gpu_memory: Series = ()
    received: Series = ()
    sent: Series = ()
    tokens: Series = ()

    def grown(
        self,
        sample: ResourceSample,
        rate: float | None,
        traffic: tuple[float, float] | None,
        gpu: GpuUse | None,
    ) -> Histories:
        """With one more sample; None is what is not known."""
        return replace(
            self,
            cpu=_grown(self.cpu, sample.cpu_percent),
            memory=_grown(self.memory, sample.memory_bytes),
            gpu=_grown(self.gpu, gpu.percent if gpu is not None else None),
            gpu_memory=_grown(self.gpu_memory, gpu.memory if gpu is not None else None),
            received=_grown(self.received, traffic[0] if traffic is not None else None),
            sent=_grown(self.sent, traffic[1] if traffic is not None else None),
            tokens=_grown(self.tokens, rate),
        )


def _grown(series: Series, value: float | None) -> Series:
    if value is None:
        return series
    return (*series, float(value))[-KEPT:]


NO_HISTORIES = Histories()
