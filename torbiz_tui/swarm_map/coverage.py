"""How well the blocks of a model are covered by the servers that answer."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.swarm_map.snapshot import Snapshot, State

Ranges = tuple[tuple[int, int], ...]
"""Ranges of blocks, [first, end)."""


@dataclass(frozen=True)
class Coverage:
    """`counts` says for each block how many servers serve it.

    `missing` are blocks without a server, `single` those with one only: when that leaves, nobody
    can be answered. `joining` are the missing ones that a server is just loading.
    """

    counts: tuple[int, ...]
    missing: Ranges
    single: Ranges
    joining: Ranges

    @property
    def whole(self) -> bool:
        """Whether every block is served, so that a question can be answered."""
        return not self.missing

    @property
    def redundancy(self) -> int:
        """How many servers the least covered block has."""
        return min(self.counts)


def cover(snapshot: Snapshot) -> Coverage:
    """The coverage at a look."""
    counts, loading = [0] * snapshot.num_blocks, [False] * snapshot.num_blocks
    for server in snapshot.servers:
        for block in range(server.start, server.end):
            if server.serves:
                counts[block] += 1
            elif server.state is State.JOINING:
                loading[block] = True
    return Coverage(
        tuple(counts),
        missing=_ranges([count == 0 for count in counts]),
        single=_ranges([count == 1 for count in counts]),
        joining=_ranges([not count and soon for count, soon in zip(counts, loading, strict=True)]),
    )


def _ranges(wanted: list[bool]) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for block, is_wanted in enumerate(wanted):
        if not is_wanted:
            continue
        if ranges and ranges[-1][1] == block:
            ranges[-1] = (ranges[-1][0], block + 1)
        else:
            ranges.append((block, block + 1))
    return tuple(ranges)


def ranges_text(ranges: Ranges, at_most: int = 6) -> str:
    """Ranges as people count them: `8–15, 20`; of many the first `at_most`."""
    shown = [f"{first}–{end - 1}" if end - first > 1 else f"{first}" for first, end in ranges]
    if len(shown) > at_most:
        shown[at_most:] = [f"and {len(shown) - at_most} more ranges"]
    return ", ".join(shown)
