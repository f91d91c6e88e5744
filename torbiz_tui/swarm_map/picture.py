"""The swarm as a picture: how often each block is served, and the servers as lanes below.

A column stands for `per_column` blocks, so that a model of any size fits. The strip shows the least
covered of them, therefore a hole is never hidden. Servers that do not overlap share a lane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torbiz_tui.swarm_map.coverage import Coverage, cover, ranges_text
from torbiz_tui.swarm_map.filtering import matches
from torbiz_tui.swarm_map.rows import Row, fitted, merged, wrapped
from torbiz_tui.swarm_map.snapshot import Snapshot, State, SwarmServer

NARROWEST = 40
_LABEL = 10
_WIDEST_BLOCK = 4
# A server a row, with its name, as long as there are no more than these.
_NAMED_LANES = 8
_SIGNS = {State.ONLINE: "#", State.JOINING: "J", State.UNREACHABLE: "?", State.OFFLINE: "_"}
_SIGN_STYLES = {
    State.ONLINE: "good",
    State.JOINING: "joining",
    State.UNREACHABLE: "bad",
    State.OFFLINE: "offline",
}
_OWN = "@"
LEGEND = "# online, @ this machine, J joining, ? does not answer, _ offline, . nobody"


@dataclass(frozen=True)
class Scale:
    """Which columns blocks take: `per_column` blocks a column, or `columns` columns a block."""

    num_blocks: int
    room: int

    @property
    def per_column(self) -> int:
        """Blocks that share a column."""
        return -(-self.num_blocks // self.room)

    @property
    def columns(self) -> int:
        """Columns that a block takes; 1 where blocks share one."""
        return max(1, min(_WIDEST_BLOCK, self.room // self.num_blocks))

    @property
    def width(self) -> int:
        """Columns that all blocks take."""
        return -(-self.num_blocks * self.columns // self.per_column)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The columns [first, end) in which any of these blocks is."""
        shared, wide = self.per_column, self.columns
        return start * wide // shared, -(-end * wide // shared)

    def blocks(self, column: int) -> range:
        """The blocks of a column."""
        first = column * self.per_column // self.columns
        return range(first, min(first + self.per_column, self.num_blocks))


def picture(
    snapshot: Snapshot, width: int = 80, *, most_lanes: int = 16, find: str = ""
) -> list[Row]:
    """The picture in rows of at most `width` columns (NARROWEST at least).

    `find` leaves only lanes of servers that `matches` finds.
    """
    width = max(width, NARROWEST)
    coverage = cover(snapshot)
    scale = Scale(snapshot.num_blocks, width - _LABEL)
    rows = [*_sentences(snapshot, coverage, width), ()]
    rows.append(_ruler(scale))
    rows.append((("servers".ljust(_LABEL), "dim"), *_strip(coverage, scale)))
    rows += _own_strip(snapshot, scale)
    others = [one for one in snapshot.servers if not one.own and matches(one, find)]
    rows += _lanes(others, scale, most_lanes)
    if scale.per_column > 1:
        least = f"One column is {scale.per_column} blocks; the strip counts the least served."
        rows += wrapped(least, width, "dim")
    return [*rows, *wrapped(LEGEND, width, "dim")]


def headline(snapshot: Snapshot, coverage: Coverage) -> tuple[str, str]:
    """The state of the swarm in a sentence, and its style."""
    if snapshot.alone:
        return "No peer of the swarm answers.", "bad"
    if coverage.whole:
        return f"Whole: all {snapshot.num_blocks} blocks are served.", "good"
    if not any(coverage.counts):
        return f"Nobody serves any of the {snapshot.num_blocks} blocks.", "bad"
    missing = sum(end - first for first, end in coverage.missing)
    are = "is" if missing == 1 else "are"
    return f"With holes: {missing} of {snapshot.num_blocks} blocks {are} not served.", "bad"


def _sentences(snapshot: Snapshot, coverage: Coverage, width: int) -> Iterator[Row]:
    yield from wrapped(snapshot.model, width, "head")
    sentence, style = headline(snapshot, coverage)
    yield from wrapped(f"{sentence} {_counted(snapshot)}", width, style)
    if coverage.missing and any(coverage.counts):
        yield from wrapped(f"Nobody serves {ranges_text(coverage.missing)}.", width, "bad")
    if coverage.joining:
        text = f"Being loaded by a server: {ranges_text(coverage.joining)}."
        yield from wrapped(text, width, "joining")
    if coverage.single:
        yield from wrapped(f"Only one server for {ranges_text(coverage.single)}.", width, "thin")


def _counted(snapshot: Snapshot) -> str:
    states = [server.state for server in snapshot.servers]
    counts = [(states.count(state), state.value) for state in State]
    return ", ".join(f"{count} {name}" for count, name in counts if count) or "No server is known"


def _ruler(scale: Scale) -> Row:
    """Block numbers above the columns where they begin."""
    line = [" "] * (scale.width + 6)
    free_from = 0
    step = next(
        step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if _apart(scale, step) >= 5
    )
    for block in range(0, scale.num_blocks, step):
        column = scale.span(block, block + 1)[0]
        number = str(block)
        if column >= free_from and column + len(number) <= scale.room:
            line[column : column + len(number)] = number
            free_from = column + len(number) + 1
    return (("block".ljust(_LABEL) + "".join(line)[: scale.room].rstrip(), "dim"),)


def _apart(scale: Scale, step: int) -> float:
    return step * scale.columns / scale.per_column


def _strip(coverage: Coverage, scale: Scale) -> Row:
    return merged(
        _count_sign(min(coverage.counts[block] for block in scale.blocks(column)))
        for column in range(scale.width)
    )


def _count_sign(count: int) -> tuple[str, str]:
    style = {0: "bad", 1: "thin"}.get(count, "good")
    return ("." if count == 0 else str(count) if count < 10 else "+"), style


def _own_strip(snapshot: Snapshot, scale: Scale) -> list[Row]:
    own = [server for server in snapshot.servers if server.own]
    if not own:
        return []
    line = _line(own, scale)
    return [(("yours".ljust(_LABEL), "own"), *line)]


def _lanes(others: Sequence[SwarmServer], scale: Scale, most: int) -> list[Row]:
    if len(others) <= min(_NAMED_LANES, most):
        return [
            ((fitted(server.short_id, _LABEL - 1) + " ", "dim"), *_line([server], scale))
            for server in others
        ]
    lanes = _packed(others, scale)
    rows: list[Row] = [((" " * _LABEL, ""), *_line(lane, scale)) for lane in lanes[:most]]
    if hidden := sum(len(lane) for lane in lanes[most:]):
        word = "server is" if hidden == 1 else "servers are"
        more = fitted(f"{hidden} more {word} in the table", scale.room).rstrip()
        rows.append(((" " * _LABEL + more, "dim"),))
    return rows


def _packed(servers: Sequence[SwarmServer], scale: Scale) -> list[list[SwarmServer]]:
    """Servers in as few lanes as it takes, a column apart; those that serve come first."""
    lanes: list[list[SwarmServer]] = []
    ends: list[int] = []
    order = {state: at for at, state in enumerate(State)}
    for server in sorted(servers, key=lambda one: (order[one.state], one.start, -one.end)):
        first, end = scale.span(server.start, server.end)
        for at, lane in enumerate(lanes):
            if ends[at] < first and lane[-1].state is server.state:
                lane.append(server)
                ends[at] = end
                break
        else:
            lanes.append([server])
            ends.append(end)
    return lanes


def _line(servers: Sequence[SwarmServer], scale: Scale) -> Row:
    line = [(" ", "")] * scale.width
    for server in servers:
        first, end = scale.span(server.start, server.end)
        sign = _OWN if server.own and server.serves else _SIGNS[server.state]
        style = "own" if server.own and server.serves else _SIGN_STYLES[server.state]
        line[first:end] = [(sign, style)] * (end - first)
    return merged(line)
