"""One look at a swarm: its servers, and which blocks they hold. Read strictly, safe to show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from torbiz_tui.logs.sanitizing import sanitize_line

MAX_BLOCKS = 4096
MAX_SERVERS = 2000
_MAX_NAME = 60
_MAX_PEER = 100
_MAX_NUMBER = 1e12


class BadSnapshotError(ValueError):
    """A message of the monitor does not say what it must."""


class State(StrEnum):
    """What a server is good for now; `UNREACHABLE` says online, and does not answer us."""

    ONLINE = "online"
    JOINING = "joining"
    UNREACHABLE = "unreachable"
    OFFLINE = "offline"


@dataclass(frozen=True)
class SwarmServer:
    """A server and its blocks, `start` to `end` (not included).

    Rates are tokens a second, as the server announces them: `throughput` is what Petals' routing
    and balancing go by, the others what it was made of. `reachable` is None while it was not tried.
    `relayed` says whether our connection leads through another peer, None without one.
    `expires_at` is when its announcement ends (seconds since the epoch).
    """

    peer_id: str
    announced: str
    start: int
    end: int
    throughput: float | None = None
    inference_rps: float | None = None
    forward_rps: float | None = None
    network_rps: float | None = None
    version: str = ""
    public_name: str = ""
    using_relay: bool | None = None
    cache_tokens_left: int | None = None
    torch_dtype: str = ""
    quant_type: str = ""
    adapters: tuple[str, ...] = ()
    next_pings: tuple[tuple[str, float], ...] = ()
    reachable: bool | None = None
    relayed: bool | None = None
    expires_at: float = 0.0
    own: bool = False

    @property
    def state(self) -> State:
        """What it announces, corrected by whether it answers."""
        if self.announced != State.OFFLINE and self.reachable is False:
            return State.UNREACHABLE
        return State(self.announced)

    @property
    def via_relay(self) -> bool | None:
        """Whether it is reached through another peer: as we are connected, else as it says."""
        return self.using_relay if self.relayed is None else self.relayed

    @property
    def serves(self) -> bool:
        """Whether its blocks count as served."""
        return self.state is State.ONLINE

    @property
    def short_id(self) -> str:
        """The end of its peer id, as Petals' own lines show it."""
        return f"…{self.peer_id[-6:]}"

    @property
    def title(self) -> str:
        """What people know it by."""
        return f"{self.public_name} ({self.short_id})" if self.public_name else self.short_id


@dataclass(frozen=True)
class Snapshot:
    """All servers of a model at a moment, sorted by their first block.

    `alone`: no peer of the swarm answers any more, so the servers are those of an earlier look.
    `looked_at` is in seconds since the epoch, `took_s` how long the look lasted.
    """

    model: str
    prefix: str
    num_blocks: int
    servers: tuple[SwarmServer, ...] = ()
    looked_at: float = 0.0
    took_s: float = 0.0
    alone: bool = False

    def marked(self, own_peers: Sequence[str]) -> Snapshot:
        """The same, with the servers of this machine marked as its own."""
        own = frozenset(own_peers)
        servers = tuple(replace(one, own=one.peer_id in own) for one in self.servers)
        return replace(self, servers=servers)


def peers_of(addresses: Iterable[str]) -> tuple[str, ...]:
    """The peer ids that multiaddrs end with."""
    named = (address.rpartition("/p2p/")[2] for address in addresses if "/p2p/" in address)
    return tuple(dict.fromkeys(named))


def read_snapshot(message: Mapping[str, Any], model: str = "") -> Snapshot:
    """A `swarm` message of the monitor. Raises BadSnapshotError.

    Names and versions come from strangers: they are cut and made safe here. A server whose place is
    not within the model is left out; a number that can be none is taken as not known.
    """
    blocks = _whole(message.get("num_blocks"), 1, MAX_BLOCKS)
    servers = message.get("servers")
    if blocks is None or not isinstance(servers, list):
        raise BadSnapshotError("a look at the swarm without its blocks or servers")
    read = (_read_server(facts, blocks) for facts in servers[:MAX_SERVERS])
    known = [server for server in read if server is not None]
    return Snapshot(
        model=model or _text(message.get("model"), 200),
        prefix=_text(message.get("prefix"), 200),
        num_blocks=blocks,
        servers=tuple(sorted(known, key=lambda one: (one.start, -one.end, one.peer_id))),
        looked_at=_number(message.get("looked_at")) or 0.0,
        took_s=_number(message.get("took_s")) or 0.0,
        alone=message.get("alone") is True,
    )


def _read_server(facts: Any, blocks: int) -> SwarmServer | None:
    if not isinstance(facts, Mapping) or facts.get("state") not in ("online", "joining", "offline"):
        return None
    peer = _text(facts.get("peer_id"), _MAX_PEER)
    start, end = _whole(facts.get("start"), 0, blocks), _whole(facts.get("end"), 0, blocks)
    if not peer or start is None or end is None or start >= end:
        return None
    return SwarmServer(
        peer_id=peer,
        announced=facts["state"],
        start=start,
        end=end,
        throughput=_number(facts.get("throughput")),
        inference_rps=_number(facts.get("inference_rps")),
        forward_rps=_number(facts.get("forward_rps")),
        network_rps=_number(facts.get("network_rps")),
        version=_text(facts.get("version"), 40),
        public_name=_text(facts.get("public_name"), _MAX_NAME),
        using_relay=_flag(facts.get("using_relay")),
        cache_tokens_left=_whole(facts.get("cache_tokens_left"), 0, int(_MAX_NUMBER)),
        torch_dtype=_text(facts.get("torch_dtype"), 20),
        quant_type=_text(facts.get("quant_type"), 20),
        adapters=_texts(facts.get("adapters")),
        next_pings=_pings(facts.get("next_pings")),
        reachable=_flag(facts.get("reachable")),
        relayed=_flag(facts.get("relayed")),
        expires_at=_number(facts.get("expires")) or 0.0,
    )


def _whole(value: Any, low: int, high: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        return None
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= _MAX_NUMBER else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any, longest: int) -> str:
    return sanitize_line(value[: 4 * longest])[:longest].strip() if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(text for item in value[:64] if (text := _text(item, _MAX_NAME)))


def _pings(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping):
        return ()
    read = ((_text(peer, _MAX_PEER), _number(seconds)) for peer, seconds in value.items())
    return tuple((peer, seconds) for peer, seconds in read if peer and seconds is not None)[:64]
