"""Which servers are meant by what somebody types."""

from __future__ import annotations

from torbiz_tui.swarm_map.snapshot import SwarmServer

_BLOCK_DIGITS = 4


def matches(server: SwarmServer, text: str) -> bool:
    """Whether a server is meant: a number is a block that it holds, else a part of its facts."""
    wanted = text.strip().casefold()
    if _is_block(wanted):
        return server.start <= int(wanted) < server.end
    facts = (
        server.public_name,
        server.peer_id,
        server.state.value,
        {True: "relay", False: "direct", None: ""}[server.via_relay],
        server.version,
        server.torch_dtype,
        server.quant_type,
        *server.adapters,
    )
    return any(wanted in fact.casefold() for fact in facts)


def meaning(text: str) -> str:
    """How the text is understood: `have block 5`, `match 'alice'`."""
    wanted = text.strip()
    return f"have block {int(wanted)}" if _is_block(wanted) else f"match {wanted!r}"


def _is_block(text: str) -> bool:
    # Longer ones are part of an identity.
    return text.isascii() and text.isdecimal() and len(text) <= _BLOCK_DIGITS
