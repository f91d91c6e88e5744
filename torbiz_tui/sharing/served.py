"""What the server itself tells of its serving, and of its swarm, in lines of its log.

The lines are those of `served_counters.py` and `swarm_coverage.py` in `runner_scripts/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_SERVING = re.compile(
    r"^Serving: (?P<rate>\d{1,9}\.\d) tokens/s, (?P<prompt>\d{1,15})\+(?P<generated>\d{1,15}) tokens,"
    r" (?P<open>\d{1,9}) open of (?P<requests>\d{1,15}) requests,"
    r" cache (?P<cache>\d{1,15})/(?P<cache_size>\d{1,15}) tokens"
    r" (?P<cache_bytes>\d{1,18})/(?P<cache_bytes_size>\d{1,18}) bytes,"
    r" (?P<received>\d{1,18})/(?P<sent>\d{1,18}) bytes,"
    r" (?P<clients>\d{1,9}) clients(?:: (?P<names>[\w? ]{1,200}))?$"
)
_SWARM = re.compile(
    r"^Swarm: (?P<servers>\d{1,9}) servers, "
    r"(?:whole|nobody serves (?P<missing>\d{1,9}:\d{1,9}(?: \d{1,9}:\d{1,9})*))$"
)
SERVING_MARK = "Serving: "
SWARM_MARK = "Swarm: "


@dataclass(frozen=True)
class Served:
    """What a server has served since its start, and serves now.

    `rate` is tokens a second over the last seconds. Tokens of prompts (and of training) and
    generated ones count once they have passed as many blocks as the server has. The attention
    cache is what open sessions have reserved. Bytes are those received from and sent to clients.
    `clients` is how many peers have sessions open now, `client_names` the ends of their peer ids.
    """

    rate: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    open: int = 0
    requests: int = 0
    cache_tokens: int = 0
    cache_tokens_size: int = 0
    cache_bytes: int = 0
    cache_bytes_size: int = 0
    received: int = 0
    sent: int = 0
    clients: int = 0
    client_names: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.generated_tokens

    def after(self, earlier: Served | None) -> Served:
        """The same with what was served before a restart counted in."""
        if earlier is None:
            return self
        return replace(
            self,
            prompt_tokens=self.prompt_tokens + earlier.prompt_tokens,
            generated_tokens=self.generated_tokens + earlier.generated_tokens,
            requests=self.requests + earlier.requests,
            received=self.received + earlier.received,
            sent=self.sent + earlier.sent,
        )


@dataclass(frozen=True)
class SwarmSeen:
    """The swarm as the server's node of the DHT knows it.

    `servers` is how many announce blocks of the model as online, `missing` the ranges of blocks
    (end excluded) that none of them does.
    """

    servers: int
    missing: tuple[tuple[int, int], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every block is announced by a server."""
        return not self.missing

    @property
    def missing_text(self) -> str:
        """`blocks 8:12 lack a server`; empty where none does."""
        if self.whole:
            return ""
        ranges = ", ".join(f"{first}:{end}" for first, end in self.missing[:4])
        more = ", …" if len(self.missing) > 4 else ""
        return f"blocks {ranges}{more} lack a server"

    @property
    def sentence(self) -> str:
        """`whole, 3 servers`, `1 server, blocks 8:12 lack a server`."""
        servers = "1 server" if self.servers == 1 else f"{self.servers:,} servers"
        return f"whole, {servers}" if self.whole else f"{servers}, {self.missing_text}"


def read_served(message: str) -> Served | None:
    """The numbers in a message of the log; None where it is another one."""
    match = _SERVING.match(message)
    if match is None:
        return None
    return Served(
        rate=float(match["rate"]),
        prompt_tokens=int(match["prompt"]),
        generated_tokens=int(match["generated"]),
        open=int(match["open"]),
        requests=int(match["requests"]),
        cache_tokens=int(match["cache"]),
        cache_tokens_size=int(match["cache_size"]),
        cache_bytes=int(match["cache_bytes"]),
        cache_bytes_size=int(match["cache_bytes_size"]),
        received=int(match["received"]),
        sent=int(match["sent"]),
        clients=int(match["clients"]),
        client_names=tuple((match["names"] or "").split()),
    )


def read_swarm(message: str) -> SwarmSeen | None:
    """The swarm in a message of the log; None where it is another one."""
    match = _SWARM.match(message)
    if match is None:
        return None
    ranges = (pair.split(":") for pair in (match["missing"] or "").split())
    return SwarmSeen(int(match["servers"]), tuple((int(one), int(end)) for one, end in ranges))
