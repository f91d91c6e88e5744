"""Errors of the chat runner: a code for the app and a message for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clock_check import explain_refusal

if TYPE_CHECKING:
    from chat_answer import Route


class ChatError(Exception):
    """An error as the app gets it; `why` and `remedy` where more is known than the message says."""

    def __init__(
        self,
        code: str,
        message: str,
        missing: list[list[int]] | None = None,
        *,
        why: str = "",
        remedy: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.missing = missing
        self.facts = facts or {}
        self.why, self.remedy = why, remedy

    @property
    def sentence(self) -> str:
        """All that is known of it, in a line."""
        return " ".join(part for part in (str(self), self.why, self.remedy) if part)

    def event(self, request_id: str | None, *, fatal: bool = False) -> dict[str, Any]:
        """Return the `error` event."""
        event: dict[str, Any] = {"type": "error", "id": request_id, "code": self.code}
        event["message"] = str(self)
        event |= {name: text for name in ("why", "remedy") if (text := getattr(self, name))}
        if self.missing is not None:
            event["missing"] = self.missing
        event |= self.facts
        if fatal:
            event["fatal"] = True
        return event


class LengthRefusedError(ChatError):
    """A server's sessions hold fewer tokens (`limit`) than were asked for."""

    def __init__(self, limit: int) -> None:
        super().__init__("context_full", f"The servers' sessions hold {limit} tokens.")
        self.limit = limit


def refused_length(error: BaseException) -> LengthRefusedError | None:
    """Return what a server's refusal of a session's length says, if it is one."""
    found = re.search(r"Cannot allocate KV cache for \d+ tokens, max = (\d+)", str(error))
    return LengthRefusedError(int(found[1])) if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a server says that its attention cache is full."""
    words = ("AllocationFailed", "Could not allocate", "attention cache is full")
    return any(word in repr(error) for word in words)


def missing_blocks(ranges: list[list[int]], total: int, adapter: str = "") -> ChatError:
    """Return the error that says which blocks nobody serves, with this adapter if one is asked."""
    facts = {"adapter": adapter} if adapter else {}
    by = f" with the adapter {adapter}" if adapter else ""
    if ranges == [[0, total]]:
        message = f"Nobody serves this model{by} now: none of its blocks is online."
    else:
        message = f"Nobody serves these blocks of the model{by} now: {_shown(ranges)} (of {total})."
    return ChatError("missing_blocks", message, ranges, facts=facts)


def not_served(route: Route) -> ChatError:
    """Return the error for a route that lacks blocks, or servers with the adapter for them."""
    ranges = [list(blocks) for blocks in route.missing]
    if not route.without_adapter:
        return missing_blocks(ranges, route.num_blocks)
    message = (
        f"No server hosts the adapter {route.adapter} for these blocks of the model:"
        f" {_shown(ranges)} (of {route.num_blocks})."
    )
    without = _shown([list(blocks) for blocks in route.without_adapter])
    has = f"; they host {', '.join(route.adapters)}" if route.adapters else ""
    why = f"There are servers without it for blocks {without}{has}."
    return ChatError("adapter_missing", message, ranges, why=why, facts=route.adapter_facts())


def _shown(ranges: list[list[int]]) -> str:
    return ", ".join(f"{first} to {end - 1}" for first, end in ranges)


def as_ranges(indices: list[int]) -> list[list[int]]:
    """Group sorted block indices into [first, end) ranges."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index:
            ranges[-1][1] = index + 1
        else:
            ranges.append([index, index + 1])
    return ranges


def explain_generation_error(error: BaseException) -> ChatError:
    """Turn an error of a generation into a code and a sentence."""
    if isinstance(error, ChatError):
        return error
    text = f"{type(error).__name__} {error}".strip()
    if "TimeoutError" in text:
        return ChatError("timeout", "A server of this model did not answer in time.")
    if "Maximum length exceeded" in text or "more than inference_max_length" in text:
        return ChatError("context_full", "The conversation is longer than the servers accept.")
    if is_out_of_memory(error):
        return ChatError("busy", "The servers of this model have no memory left for a new session.")
    if "dial" in text:
        # Petals keeps announcing a crashed server for minutes.
        message = "A server of this model is announced, but cannot be reached."
        return ChatError("connection_failed", message)
    network = ("P2P", "ControlFailure", "Connection", "stream", "reset", "EOF", "peer")
    if any(word in text for word in network):
        return ChatError("connection_failed", "The connection to a server of this model was lost.")
    return ChatError("internal", f"The answer failed: {' '.join(str(error).split())[:200]}")


def explain_connect_error(error: BaseException, peers: list[str]) -> ChatError:
    """Turn an error while joining the swarm into a code and a sentence."""
    if isinstance(error, ChatError):
        return error
    text = " ".join(str(error).split())
    if (clocks := explain_refusal(text)) is not None:
        return ChatError("clocks_differ", clocks)
    if any(word in text for word in ("bootstrap", "Daemon failed", "multiaddr", "responded")):
        where = ", ".join(peers) if peers else "the public swarm's peers"
        return ChatError(
            "connection_failed", f"The swarm cannot be reached: no answer from {where}."
        )
    return ChatError("internal", f"Joining the swarm failed: {text[:200]}")
