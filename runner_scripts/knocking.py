"""Whether the port of a peer takes a TCP connection, before libp2p is asked to dial it.

libp2p refuses to dial an address for 5 s + n² s after its nth failure there, up to 5 minutes
("dial backoff" in its messages). Asked again and again while a port is closed, it is still refusing
minutes after that is open again; a connection attempt of ours leaves no such mark.
"""

from __future__ import annotations

import asyncio
import re

TIMEOUT_S = 2.0
# What TCP alone tells something of: neither another transport nor a relay.
_TCP = re.compile(r"/(?:ip4|ip6|dns|dns4|dns6)/([^/%]+)/tcp/(\d{1,5})(?:/p2p/[^/]+)?")


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
    if found is None or int(found[2]) > 65_535:
        return True
    try:
        async with asyncio.timeout(timeout_s):
            _reader, writer = await asyncio.open_connection(found[1], int(found[2]))
    except (OSError, UnicodeError):  # a TimeoutError is an OSError
        return False
    writer.close()
    return True
