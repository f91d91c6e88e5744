"""One look at a swarm that may be joined, in a sentence for the form of Share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from torbiz_tui.errors import TorbizError
from torbiz_tui.swarm_map.coverage import Coverage, cover
from torbiz_tui.swarm_map.monitor import STAGE_TITLES, Looking, SwarmMonitor, Trouble
from torbiz_tui.swarm_map.snapshot import Snapshot

# The monitor has to start, to join and to look: 3 to 8 s in a private swarm.
LOOK_TIMEOUT_S = 45.0
_RANGES_SHOWN = 4


async def look_once(
    monitor: SwarmMonitor,
    model: str,
    tell: Callable[[str], None],
    timeout_s: float = LOOK_TIMEOUT_S,
) -> Snapshot:
    """The servers of a model now; `tell` hears what is being done meanwhile.

    Raises TorbizError when the swarm cannot be looked at within `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s), aclosing(monitor.watch(model)) as events:
            async for event in events:
                if isinstance(event, Snapshot):
                    return event
                if isinstance(event, Trouble):
                    raise event.error
                if isinstance(event, Looking):
                    tell(STAGE_TITLES[event.stage])
    except TimeoutError:
        pass
    raise TorbizError(f"The swarm has not answered within {timeout_s:.0f} s.", code="timeout")


def own_left_out(snapshot: Snapshot, own_peers: Sequence[str] = ()) -> str:
    """The line of a swarm as others serve it: a server of this machine would be restarted."""
    own = frozenset(own_peers)
    others = tuple(one for one in snapshot.servers if one.peer_id not in own)
    line = coverage_line(replace(snapshot, servers=others))
    without = "Without this machine" if len(others) < len(snapshot.servers) else "Now"
    return f"{without}: {line}."


def coverage_line(snapshot: Snapshot) -> str:
    """Which blocks have servers, as ranges `A:B` that a person may share: B is not included."""
    coverage = cover(snapshot)
    total = snapshot.num_blocks
    if snapshot.alone:
        return "no peer of it answers"
    if not any(coverage.counts):
        return f"none of the {total} blocks has a server"
    if coverage.missing:
        return f"blocks {_served(coverage)} served, {_lacking(coverage.missing)}"
    if coverage.single:
        if coverage.single == ((0, total),):
            return f"all {total} blocks served, none by more than one server"
        return f"all {total} blocks served, {_ranges(coverage.single)} by one server alone"
    return f"all {total} blocks served, each by {coverage.redundancy} servers or more"


def _served(coverage: Coverage) -> str:
    ends = [0, *(block for missing in coverage.missing for block in missing), len(coverage.counts)]
    served = [(ends[at], ends[at + 1]) for at in range(0, len(ends), 2)]
    return _ranges([one for one in served if one[0] < one[1]])


def _lacking(missing: tuple[tuple[int, int], ...]) -> str:
    one_block = len(missing) == 1 and missing[0][1] - missing[0][0] == 1
    return f"{_ranges(missing)} {'lacks' if one_block else 'lack'} a server"


def _ranges(ranges: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> str:
    shown = [f"{first}:{end}" for first, end in ranges[:_RANGES_SHOWN]]
    if len(ranges) > _RANGES_SHOWN:
        shown.append(f"{len(ranges) - _RANGES_SHOWN} more")
    return ", ".join(shown)
