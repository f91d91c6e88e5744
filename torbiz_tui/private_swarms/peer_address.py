"""Multiaddrs of peers: their grammar, their binary form, and who can reach them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {letter: value for value, letter in enumerate(_ALPHABET)}
_MAX_ADDRESS = 300
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_NAMES = ("dns", "dns4", "dns6", "dnsaddr")
_OVER = ("quic", "quic-v1", "ws", "wss", "tls", "noise", "p2p-circuit")
# The multihashes that a peer's identity is: SHA-256 of a long key, or a short key itself
# (ed25519, secp256k1), as libp2p's specification of peer ids says.
_IDENTITIES = (
    (b"\x12\x20", 34),
    (b"\x00\x24\x08\x01\x12\x20", 38),
    (b"\x00\x25\x08\x02\x12\x21", 39),
)
_SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")


class Reach(StrEnum):
    """Who can reach an address, as far as the address itself tells."""

    LOOPBACK = "loopback"
    LOCAL_NETWORK = "local_network"
    PUBLIC = "public"


_WIDEST_FIRST = [Reach.PUBLIC, Reach.LOCAL_NETWORK, Reach.LOOPBACK]


@dataclass(frozen=True)
class PeerAddress:
    """A checked multiaddr of a peer; `path` is all before the last `/p2p/`."""

    path: str
    host: str
    port: int
    peer_id: str
    reach: Reach

    @property
    def text(self) -> str:
        """The multiaddr."""
        return f"{self.path}/p2p/{self.peer_id}"

    @property
    def dialled_by_tcp(self) -> bool:
        """Whether a TCP connection to `host` and `port` is what reaches it."""
        return "/tcp/" in self.path and "/p2p-circuit" not in self.path


def read_peer(text: str) -> PeerAddress:
    """A peer's multiaddr, all of it checked. Raises ValueError with what is wrong, in words."""
    if len(text) > _MAX_ADDRESS:
        raise ValueError(f"an address of {len(text)} characters")
    path, found, peer_id = text.rpartition("/p2p/")
    parts = path.split("/")
    if not found or len(parts) < 5 or parts[0]:
        raise ValueError(f"{text!r} is not of the form /ip4/HOST/tcp/PORT/p2p/IDENTITY")
    identity_bytes(peer_id)
    reach = _reach(parts[1], parts[2])
    port = parts[4]
    if parts[3] not in ("tcp", "udp") or not re.fullmatch(r"[1-9][0-9]{0,4}", port):
        raise ValueError(f"{text!r} has no TCP or UDP port")
    if int(port) > 65_535:
        raise ValueError(f"the port {port} does not exist")
    _check_rest(parts[5:], text)
    return PeerAddress(path, parts[2], int(port), peer_id, reach)


def _check_rest(parts: list[str], text: str) -> None:
    rest = iter(parts)
    for part in rest:
        if part == "p2p":
            identity_bytes(next(rest, ""))
        elif part not in _OVER:
            raise ValueError(f"{text!r} holds {part!r}, which is not known")


def _reach(kind: str, host: str) -> Reach:
    if kind in _NAMES:
        if len(host) > 253 or not _HOST_NAME.fullmatch(host):
            raise ValueError(f"{host!r} is no host name")
        return Reach.LOOPBACK if host == "localhost" else Reach.PUBLIC
    if kind not in ("ip4", "ip6"):
        raise ValueError(f"/{kind}/ is not known; an address begins with /ip4/, /ip6/ or /dns/")
    try:
        address = ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"{host!r} is no IP address") from None
    if "%" in host or address.is_unspecified or address.is_multicast:
        raise ValueError(f"{host!r} is not the address of one machine")
    if address.is_loopback:
        return Reach.LOOPBACK
    shared = address.version == 4 and address in _SHARED_SPACE
    # Not is_private: that also holds the ranges for documentation.
    local = address.is_link_local or shared or any(address in net for net in _PRIVATE[kind])
    return Reach.LOCAL_NETWORK if local else Reach.PUBLIC


_PRIVATE = {
    "ip4": [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")],
    "ip6": [ipaddress.ip_network("fc00::/7")],
}


def identity_bytes(peer_id: str) -> bytes:
    """A peer's identity in binary form. Raises ValueError when it is not a whole one."""
    if len(peer_id) > 64:
        raise ValueError("a peer's identity is too long")
    number = 0
    for letter in peer_id:
        if letter not in _DIGITS:
            raise ValueError(f"a peer's identity holds {letter!r}")
        number = number * 58 + _DIGITS[letter]
    zeros = len(peer_id) - len(peer_id.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if not any(data.startswith(head) and len(data) == size for head, size in _IDENTITIES):
        raise ValueError(f"the peer's identity {peer_id!r} is not whole")
    return data


def identity_text(data: bytes) -> str:
    """The identity in base58, as it stands in a multiaddr."""
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        letters = _ALPHABET[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters


def whole_peers(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of the addresses that are a peer's, each once."""
    found: dict[str, None] = {}
    for text in addresses:
        try:
            found[read_peer(text).text] = None
        except ValueError:
            continue
    return tuple(found)


def for_others(addresses: Iterable[str], limit: int) -> tuple[str, ...]:
    """The addresses to give to others: those most people reach first, loopback only when alone.

    What is no address of a peer is left out.
    """
    found = [read_peer(text) for text in whole_peers(addresses)]
    best = sorted(found, key=lambda address: _WIDEST_FIRST.index(address.reach))
    beyond = [address for address in best if address.reach is not Reach.LOOPBACK]
    return tuple(address.text for address in (beyond or best)[:limit])


def widest_reach(addresses: Iterable[str]) -> Reach | None:
    """Who can reach at least one of these; None without any."""
    reaches = [read_peer(text).reach for text in addresses]
    return min(reaches, key=_WIDEST_FIRST.index, default=None)
