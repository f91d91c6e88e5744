"""An answer in the making, and the route that it takes: what the models of the runner share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from json_lines import GenerateRequest

Ranges = list[list[int]]


@dataclass(frozen=True)
class Hop:
    """A server on the way through the blocks: it computes `first` to `end` (not included)."""

    first: int
    end: int
    peer: str
    name: str = ""


@dataclass(frozen=True)
class Route:
    """Which servers would answer now; `missing` are [first, end) ranges that nobody serves.

    With an `adapter`, only servers that host it count; those of the missing blocks that have servers
    without it are `without_adapter`, and `adapters` what these host in its place.
    """

    num_blocks: int
    hops: tuple[Hop, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    local: bool = False
    adapter: str = ""
    without_adapter: tuple[tuple[int, int], ...] = ()
    adapters: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return the fields of a `route` event."""
        return {
            "num_blocks": self.num_blocks,
            "complete": self.local or not self.missing,
            "missing": [list(blocks) for blocks in self.missing],
            "hops": [vars(hop) for hop in self.hops],
            "local": self.local,
            **self.adapter_facts(),
        }

    def adapter_facts(self) -> dict[str, Any]:
        """Return what there is to tell of the adapter, nothing without one."""
        if not self.adapter:
            return {}
        without = [list(blocks) for blocks in self.without_adapter]
        facts = {"adapter": self.adapter, "without_adapter": without, "adapters": [*self.adapters]}
        return {name: value for name, value in facts.items() if value}


@dataclass
class Answer:
    """An answer in the making.

    `deliver` takes the next text and returns whether the person still gets it; `notify` takes the
    fields of an event without its id (`started`, `recovering`, `recovered`).
    """

    request: GenerateRequest
    deliver: Callable[[str], bool]
    notify: Callable[[dict[str, Any]], None] = lambda _event: None
    cancelled: threading.Event = field(default_factory=threading.Event)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    dropped_messages: int = 0
    route: Route | None = None
    tokens: list[int] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    last_token_at: float | None = None

    def tell_started(self, reused_tokens: int, route: Route) -> None:
        """Note what is not computed again and who computes, and tell that it begins."""
        self.reused_tokens, self.route = reused_tokens, route
        self.notify(
            {
                "type": "started",
                "prompt_tokens": self.prompt_tokens,
                "reused_tokens": reused_tokens,
                "dropped_messages": self.dropped_messages,
                "route": route.facts(),
            }
        )

    def counts(self) -> dict[str, Any]:
        """Return `usage`, `timing` and `route` as the protocol has them."""
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "reused_tokens": self.reused_tokens,
            "completion_tokens": len(self.tokens),
        }
        first, last = self.first_token_at, self.last_token_at
        spent = last - first if first is not None and last is not None else 0.0
        timing = {
            "first_token_s": round(first - self.started_at, 3) if first is not None else 0.0,
            "tokens_per_s": round((len(self.tokens) - 1) / spent, 2) if spent > 0 else 0.0,
        }
        counts: dict[str, Any] = {"usage": usage, "timing": timing}
        if self.route is not None:
            counts["route"] = self.route.facts()
        return counts
