"""The records by which servers announce themselves in the DHT, read without Petals.

The format is that of petals 2.2.0 and its main branch: under the key `{prefix}.{block}` one subkey
a server, its peer id in base58, with `ServerInfo.to_tuple()` of petals/data_structures.py:
(state, throughput, {"start_block", "end_block", "public_name", "version", ...}); under
`_petals.models` one subkey a model, its prefix, with {"num_blocks", "repository"}.
Everybody can write there, so each value is checked, and what is wrong is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STATES = ("offline", "joining", "online")
MAX_BLOCKS = 4096
MAX_SERVERS = 2000
_MAX_TEXT = 200
_MAX_ITEMS = 64
_MAX_NUMBER = 1e12
_PEER_ID = re.compile(r"[1-9A-HJ-NP-Za-km-z]{20,100}")


@dataclass
class Server:
    """A server as it announces itself; blocks `start` to `end` (not included).

    Rates are in tokens a second, pings in seconds. `reachable`: whether it answered us; None while
    it was not tried. `relayed`: whether our connection to it leads through another peer. `expires` is when its announcement ends, in seconds since the epoch.
    """

    peer_id: str
    state: str
    start: int
    end: int
    throughput: float | None = None
    inference_rps: float | None = None
    forward_rps: float | None = None
    network_rps: float | None = None
    version: str | None = None
    public_name: str | None = None
    using_relay: bool | None = None
    cache_tokens_left: int | None = None
    torch_dtype: str | None = None
    quant_type: str | None = None
    adapters: tuple[str, ...] = ()
    next_pings: dict[str, float] = field(default_factory=dict)
    reachable: bool | None = None
    relayed: bool | None = None
    expires: float = 0.0

    @property
    def served(self) -> bool:
        """Whether it computes its blocks now, as far as is known."""
        return self.state == "online" and self.reachable is not False

    def to_json(self) -> dict[str, Any]:
        """The server for the protocol."""
        return asdict(self) | {"adapters": list(self.adapters)}


@dataclass(frozen=True)
class AnnouncedModel:
    """A model of which some server says that it exists."""

    prefix: str
    num_blocks: int
    repository: str = ""


def read_servers(records: Mapping[int, Any], num_blocks: int) -> list[Server]:
    """The servers in the values of the keys of blocks, each as one span.

    Of a server that announces itself differently under its blocks, what it has said last counts (one
    that crashed and serves other blocks now stays announced with those before for minutes), and of
    that the highest state, as with Petals' `compute_spans`; where it does not say its span, that is
    where it was found.
    """
    best: dict[str, tuple[float, int, Server]] = {}
    found: dict[str, tuple[int, int]] = {}
    for block in sorted(records):
        for peer_id, value, expires in _entries(records[block]):
            if not isinstance(peer_id, str) or not _PEER_ID.fullmatch(peer_id):
                continue
            rank, before = _rank(value), best.get(peer_id)
            if rank is None or (before is None and len(best) >= MAX_SERVERS):
                continue
            if before is not None and rank == before[1]:
                found[peer_id] = found[peer_id][0], block + 1
            # Most blocks of a server say the same once more.
            if before is not None and (expires, rank) <= before[:2]:
                continue
            if before is None or rank != before[1]:
                found[peer_id] = block, block + 1
            server = _read_server(peer_id, value, block, num_blocks)
            server.expires = expires
            best[peer_id] = expires, rank, server
    servers = [server for _expires, _rank, server in best.values()]
    for server in servers:
        if server.end == 0:
            server.start, server.end = found[server.peer_id]
    return sorted(servers, key=_by_place)


def _rank(value: Any) -> int | None:
    """The state that a server announces; None for what is no announcement."""
    if not isinstance(value, list | tuple) or len(value) < 2 or value[0] not in (0, 1, 2):
        return None
    return int(value[0])


def _by_place(server: Server) -> tuple[int, int, str]:
    return server.start, -server.end, server.peer_id


def read_models(value: Any) -> list[AnnouncedModel]:
    """The models in the value of `_petals.models`."""
    models = []
    for prefix, facts, _expires in _entries(value):
        if not isinstance(prefix, str) or not isinstance(facts, Mapping):
            continue
        blocks = _count(facts.get("num_blocks"), MAX_BLOCKS)
        if blocks and re.fullmatch(r"[^\s.]{1,200}", prefix):
            models.append(AnnouncedModel(prefix, blocks, _text(facts.get("repository")) or ""))
    return models


def _entries(value: Any) -> Iterable[tuple[Any, Any, float]]:
    """Subkeys of a DHT value, what stands there, and when that expires."""
    if isinstance(value, Mapping):
        for subkey, entry in value.items():
            expires = _number(getattr(entry, "expiration_time", None)) or 0.0
            yield subkey, getattr(entry, "value", None), expires


def _read_server(peer_id: str, value: Any, block: int, num_blocks: int) -> Server:
    """What `_rank` has accepted."""
    extra = value[2] if len(value) > 2 and isinstance(value[2], Mapping) else {}
    start = _count(extra.get("start_block"), MAX_BLOCKS)
    end = _count(extra.get("end_block"), MAX_BLOCKS)
    if start is None or end is None or not start <= block < end:
        start = end = 0
    adapters = extra.get("adapters")
    return Server(
        peer_id,
        STATES[int(value[0])],
        start,
        min(end, num_blocks),
        throughput=_number(value[1]),
        inference_rps=_number(extra.get("inference_rps")),
        forward_rps=_number(extra.get("forward_rps")),
        network_rps=_number(extra.get("network_rps")),
        version=_text(extra.get("version")),
        public_name=_text(extra.get("public_name")),
        using_relay=relay if isinstance(relay := extra.get("using_relay"), bool) else None,
        cache_tokens_left=_count(extra.get("cache_tokens_left"), 10**12),
        torch_dtype=_text(extra.get("torch_dtype")),
        quant_type=_text(extra.get("quant_type")),
        adapters=_texts(adapters) if isinstance(adapters, list | tuple) else (),
        next_pings=_pings(extra.get("next_pings")),
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= _MAX_NUMBER else None


def _count(value: Any, most: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        return None
    return value


def _text(value: Any) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) and value else None


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(text for value in values if (text := _text(value)))[:_MAX_ITEMS]


def _pings(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    pings = {}
    for peer, seconds in value.items():
        known = _number(seconds)
        if isinstance(peer, str) and _PEER_ID.fullmatch(peer) and known is not None:
            pings[peer] = known
    return dict(sorted(pings.items(), key=lambda item: item[1])[:_MAX_ITEMS])
