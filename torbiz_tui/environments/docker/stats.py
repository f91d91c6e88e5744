"""What a container uses, from the engine's stream of statistics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torbiz_tui.environments.base import ResourceSample
from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.environments.docker.records import seconds
from torbiz_tui.environments.docker.watching import look_at

if TYPE_CHECKING:
    from docker import DockerClient

_NS = 1e9
# Podman's first sample compares two moments that are hardly apart.
_SHORTEST_S = 0.1


async def container_stats(
    engine: Engine, container_id: str
) -> AsyncGenerator[ResourceSample, None]:
    """Samples as the engine gives them (Docker every second, Podman every five) until it has ended.

    The first one tells the mean CPU use since the container's start. Raises as Engine.stream does,
    docker.errors.NotFound when there is no such container.
    """
    state = await look_at(engine, container_id)
    if not state.running:
        return
    meter = _CpuMeter(state.started_at)
    samples = engine.stream(
        lambda client: _open(client, container_id), doing="reading what the container uses"
    )
    async with contextlib.aclosing(samples) as items:
        async for item in items:
            percent = meter.percent(item)
            if not percent:
                # Frozen, just waiting, or ended: the statistics look alike.
                state = await look_at(engine, container_id)
                if not state.running:
                    return
            if percent is not None:
                yield sample_from(item, percent, paused=not percent and state.paused)


def _open(client: DockerClient, container_id: str) -> Iterator[dict[str, Any]]:
    items: Iterator[dict[str, Any]] = client.api.stats(container_id, decode=True, stream=True)
    return items


def sample_from(item: Mapping[str, Any], percent: float, *, paused: bool) -> ResourceSample:
    """One answer of the engine as a sample."""
    received, sent = _network(item)
    return ResourceSample(
        cpu_percent=0.0 if paused else percent,
        memory_bytes=_memory(item.get("memory_stats") or {}),
        processes=int((item.get("pids_stats") or {}).get("current") or 0),
        network_rx_bytes=received,
        network_tx_bytes=sent,
        paused=paused,
    )


def _memory(stats: Mapping[str, Any]) -> int:
    """Bytes in use without the file cache that can be dropped, as `docker stats` counts them."""
    used = int(stats.get("usage") or 0)
    details = stats.get("stats") or {}
    # The second name is that of cgroup v2, the first that of v1.
    for name in ("total_inactive_file", "inactive_file"):
        if name in details:
            inactive = int(details[name] or 0)
            return used - inactive if inactive < used else used
    return used


def _network(item: Mapping[str, Any]) -> tuple[int | None, int | None]:
    networks = item.get("networks")
    if not networks:
        return None, None
    each = networks.values()
    return (
        sum(int(one.get("rx_bytes") or 0) for one in each),
        sum(int(one.get("tx_bytes") or 0) for one in each),
    )


class _CpuMeter:
    """CPU use between one sample and the next, in percent of one core."""

    def __init__(self, started_at: float | None) -> None:
        self._used_ns = 0
        self._at = started_at

    def percent(self, item: Mapping[str, Any]) -> float | None:
        """None when the sample tells nothing: the container has no processes, or it is too early."""
        used_ns = int(
            ((item.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0
        )
        at = seconds(item.get("read"))
        if at is None:
            return None
        before, self._at = self._at, at
        before_ns, self._used_ns = self._used_ns, used_ns
        if before is None or used_ns < before_ns:
            return None
        if at - before < _SHORTEST_S:
            return None
        return (used_ns - before_ns) / _NS / (at - before) * 100
