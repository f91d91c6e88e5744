"""Whether the port of a peer takes a TCP connection, before libp2p is asked to dial it.

libp2p refuses to dial an address for 5 s + n² s after its nth failure there, up to 5 minutes
("dial backoff" in its messages). Asked again and again while a port is closed, it is still refusing
minutes after that is open again; a connection attempt of ours leaves no such mark.
"""

from __future__ import annotations

import asyncio
import re
import socket

TIMEOUT_S = 2.0
_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}
# What TCP alone tells something of: neither another transport nor a relay.
_TCP = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/([^/%]+)/tcp/(\d{1,5})(?:/p2p/[^/]+)?")


async def listening(addresses: list[str], timeout_s: float = TIMEOUT_S) -> list[str]:
    """Those of the multiaddrs whose TCP ports take a connection."""
    tcp = [one for one in addresses if _TCP.fullmatch(one)]
    knocks = await asyncio.gather(*(may_be_there(one, timeout_s) for one in tcp))
    return [one for one, there in zip(tcp, knocks, strict=True) if there]


async def may_be_there(address: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Tell whether dialling the multiaddr is worth it: False when its port takes no connection.

    True also where only libp2p can tell.
    """
    found = _TCP.fullmatch(address)
    if found is None or int(found[3]) > 65_535:
        return True
    kind, host, port = found[1], found[2], int(found[3])
    try:
        async with asyncio.timeout(timeout_s):
            if kind in _FAMILIES:
                return await _is_any_there(host, _FAMILIES[kind], port, timeout_s)
            return await _takes_connection(host, port)
    except TimeoutError:
        return False


async def _is_any_there(name: str, family: int, port: int, timeout_s: float) -> bool:
    """Knock at all addresses of a name at once: one of them may swallow every packet."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s / 2):
            found = await loop.getaddrinfo(name, port, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # libp2p resolves names by itself
        return True
    hosts = {str(address[0]) for *_, address in found}
    knocks = [asyncio.create_task(_takes_connection(host, port)) for host in hosts]
    try:
        for knock in asyncio.as_completed(knocks):
            if await knock:
                return True
        return False
    finally:
        for each in knocks:
            each.cancel()


async def _takes_connection(host: str, port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except (OSError, UnicodeError):
        return False
    writer.close()
    return True
