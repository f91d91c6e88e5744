"""Peers that exist nowhere, with identities that are whole."""

from __future__ import annotations

import hashlib

from torbiz_tui.private_swarms.peer_address import identity_text


def identity(number: int) -> str:
    """An identity as an RSA key gives it."""
    return identity_text(b"\x12\x20" + hashlib.sha256(str(number).encode()).digest())


def peer(number: int, host: str = "192.0.2.7", port: int = 31337) -> str:
    """The multiaddr of a peer."""
    kind = "ip6" if ":" in host else "ip4"
    return f"/{kind}/{host}/tcp/{port}/p2p/{identity(number)}"
