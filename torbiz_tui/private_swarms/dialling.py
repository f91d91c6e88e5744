"""Whether a peer's port takes connections from here, without Petals."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from torbiz_tui.private_swarms.peer_address import read_peer

DIAL_TIMEOUT_S = 2.0


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
    """Those of the addresses that take a connection; all are tried at once."""
    if not addresses:
        return ()
    with ThreadPoolExecutor(len(addresses)) as pool:
        problems = list(pool.map(lambda address: dial(address, timeout_s), addresses))
    return tuple(
        address for address, problem in zip(addresses, problems, strict=True) if not problem
    )
