"""Whether a peer's port takes connections from here, without Petals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

from torbiz_tui.private_swarms.peer_address import read_peer

DIAL_TIMEOUT_S = 2.0
# A resolver that is not there takes its own time over a name, which nothing cuts short.
_LATE_S = 0.5


def dial(address: str, timeout_s: float = DIAL_TIMEOUT_S) -> str:
    """Why the address takes no TCP connection, in words; empty when it does.

    Who listens there is not asked: another program may have the port. What is not reached by TCP
    (QUIC, a relay) counts as taking one, since only libp2p could tell.
    """
    peer = read_peer(address)
    if not peer.dialled_by_tcp:
        return ""
    try:
        with socket.create_connection((peer.host, peer.port), timeout_s):
            return ""
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def answering(addresses: Sequence[str], timeout_s: float = DIAL_TIMEOUT_S) -> tuple[str, ...]:
    """Those of the addresses that take a connection; all are tried at once, and not for longer."""
    there: set[str] = set()

    def knock(address: str) -> None:
        if not dial(address, timeout_s):
            there.add(address)

    knocks = [
        threading.Thread(target=knock, args=(address,), name="dial", daemon=True)
        for address in addresses
    ]
    for each in knocks:
        each.start()
    deadline = time.monotonic() + timeout_s + _LATE_S
    for each in knocks:
        each.join(max(0.0, deadline - time.monotonic()))
    found = there.copy()
    return tuple(address for address in addresses if address in found)
