"""The servers of a swarm as a table that keeps to a width."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torbiz_tui.swarm_map.filtering import matches, meaning
from torbiz_tui.swarm_map.picture import NARROWEST
from torbiz_tui.swarm_map.rows import Row, cells, fitted, wrapped
from torbiz_tui.swarm_map.snapshot import Snapshot, State, SwarmServer

_STYLES = {
    State.ONLINE: "",
    State.JOINING: "joining",
    State.UNREACHABLE: "bad",
    State.OFFLINE: "offline",
}


@dataclass(frozen=True)
class _Column:
    """A column; those with a high `rank` go first where there is no room."""

    title: str
    width: int
    value: Callable[[SwarmServer], str]
    rank: int = 0
    right: bool = False


def _blocks(server: SwarmServer) -> str:
    last = server.end - 1
    return f"{server.start}" if last == server.start else f"{server.start}–{last}"


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    return _short(value) if value >= 100 else f"{value:.1f}"


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1000 if unit == 'k' else size):.0f}{unit}"
    return f"{value:.0f}"


def _relay(server: SwarmServer) -> str:
    return {True: "relay", False: "direct", None: "–"}[server.via_relay]


def _reached(server: SwarmServer) -> str:
    text = {True: "by relay", False: "directly", None: ""}[server.via_relay]
    if server.using_relay and server.relayed is False:
        text += "; it says of itself that others need a relay"
    return text


def _cache(server: SwarmServer) -> str:
    return "–" if server.cache_tokens_left is None else _short(float(server.cache_tokens_left))


def _numbers(server: SwarmServer) -> str:
    quantized = server.quant_type if server.quant_type not in ("", "none") else ""
    return "/".join(part for part in (server.torch_dtype, quantized) if part) or "–"


_COLUMNS = (
    _Column("blocks", 9, _blocks),
    _Column("state", 11, lambda server: server.state.value),
    _Column("tok/s", 6, lambda server: _rate(server.throughput), right=True),
    _Column("infer/s", 7, lambda server: _rate(server.inference_rps), 3, right=True),
    _Column("fwd/s", 6, lambda server: _rate(server.forward_rps), 8, right=True),
    _Column("net/s", 6, lambda server: _rate(server.network_rps), 6, right=True),
    _Column("cache", 6, _cache, 5, right=True),
    _Column("numbers", 13, _numbers, 7),
    _Column("via", 6, _relay, 1),
    _Column("version", 12, lambda server: server.version or "–", 2),
)
_NAME = 16
"""Columns for the name at least."""
# Of so few servers all is told.
_DETAILED = 3
_TITLE = 13
ORDERS = ("blocks", "throughput", "state", "name")
"""By what the rows may be sorted; own servers always come first."""


def table(
    snapshot: Snapshot, width: int = 80, *, find: str = "", order: str = ORDERS[0]
) -> list[Row]:
    """The table: a heading, then a row for each server, own ones first, marked with `@`.

    `find` leaves only servers that `matches` finds, and says all of these when they are few.
    """
    width = max(width, NARROWEST)
    columns = _chosen(width)
    taken = 2 + sum(column.width + 1 for column in columns)
    titles = _line((column.title for column in columns), columns)
    rows: list[Row] = [((f"  {titles} {fitted('server', width - taken).rstrip()}", "dim"),)]
    found = [server for server in snapshot.servers if matches(server, find)]
    if find:
        text = f"{len(found)} of {len(snapshot.servers)} servers {meaning(find)}"
        rows = [*wrapped(text, width, "" if found else "bad"), *rows]
    for server in sorted(found, key=lambda server: (not server.own, _ORDERS[order](server))):
        values = _line((column.value(server) for column in columns), columns)
        name = _name(server, width - taken)
        mark, style = ("@ ", "own") if server.own else ("  ", _STYLES[server.state])
        rows.append(((mark + values + " " + name, style),))
    if find and len(found) <= _DETAILED:
        rows += [row for server in found for row in ((), *details(server, width))]
    return rows


_ORDERS: dict[str, Callable[[SwarmServer], Any]] = {
    "blocks": lambda server: (server.start, -server.end),
    "throughput": lambda server: -(server.throughput or 0.0),
    "state": lambda server: list(State).index(server.state),
    "name": lambda server: (not server.public_name, server.public_name.casefold()),
}


def details(server: SwarmServer, width: int = 80) -> list[Row]:
    """All that a server announces, a fact a line; what it does not say is left out."""
    rates = (
        ("in all", server.throughput),
        ("inference", server.inference_rps),
        ("forward", server.forward_rps),
        ("network", server.network_rps),
    )
    pings = [f"…{peer[-6:]} {1000 * seconds:.0f} ms" for peer, seconds in server.next_pings]
    until = time.strftime("%H:%M:%S", time.localtime(server.expires_at))
    facts = (
        ("name", server.public_name),
        ("peer", server.peer_id),
        ("blocks", f"{_blocks(server)}, {server.state.value}"),
        (
            "tokens/s",
            ", ".join(f"{name} {_rate(rate)}" for name, rate in rates if rate is not None),
        ),
        ("cache left", f"{_cache(server)} tokens" if server.cache_tokens_left is not None else ""),
        ("numbers", _numbers(server)),
        ("adapters", ", ".join(server.adapters)),
        ("version", server.version),
        ("reached", _reached(server)),
        ("pings", ", ".join(pings)),
        ("announced", f"until {until}" if server.expires_at else ""),
    )
    rows: list[Row] = []
    for title, text in facts:
        if text:
            lines = wrapped(text, width - _TITLE, indent="")
            titles = [f"  {title}".ljust(_TITLE), *[" " * _TITLE] * (len(lines) - 1)]
            rows += [((lead, "dim"), *line) for lead, line in zip(titles, lines, strict=True)]
    return rows


def _name(server: SwarmServer, width: int) -> str:
    """The name and the end of the peer id; of a long name less is shown, never of the id."""
    if cells(server.title) <= width:
        return fitted(server.title, width)
    identity = f" ({server.short_id})"
    if width - cells(identity) < 3:
        return fitted(server.short_id, width)
    return fitted(server.public_name, width - cells(identity)) + identity


def _chosen(width: int) -> list[_Column]:
    """The columns that leave room for the name."""
    columns = list(_COLUMNS)
    for column in sorted(_COLUMNS, key=lambda column: -column.rank):
        if 2 + sum(kept.width + 1 for kept in columns) + _NAME > width and column.rank:
            columns.remove(column)
    return columns


def _line(values: Iterable[str], columns: Sequence[_Column]) -> str:
    return " ".join(
        fitted(value, column.width, right=column.right)
        for value, column in zip(values, columns, strict=True)
    )
