"""The sockets to listen on; opened before anything else is loaded, so that a taken port is told."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence

from torbiz_tui.errors import TorbizError

_BACKLOG = 128


def listen(host: str, port: int) -> list[socket.socket]:
    """A listening socket for every address of `host`; port 0 takes a free one.

    Raises TorbizError when the host is not known or the port cannot be had.
    """
    opened: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            # A name with two addresses (localhost) gets the same port on both.
            if opened:
                address = (address[0], opened[0].getsockname()[1], *address[2:])
            found = _open(family, address)
            if found is not None:
                opened.append(found)
        if not opened:
            raise TorbizError(
                f"This machine does not have the address {host}.",
                remedy="Choose another one with --host.",
                code="host_unknown",
            )
    except TorbizError:
        for listening in opened:
            listening.close()
        raise
    return opened


def is_loopback(sockets: Sequence[socket.socket]) -> bool:
    """Whether only this machine can reach them."""
    return all(
        ipaddress.ip_address(listening.getsockname()[0]).is_loopback for listening in sockets
    )


def base_url(host: str, sockets: Sequence[socket.socket]) -> str:
    """The address for clients; the machine's name where it listens on all addresses."""
    port = sockets[0].getsockname()[1]
    if ipaddress.ip_address(sockets[0].getsockname()[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise TorbizError(
            f"The host {host} is not known.",
            why=f"{error.strerror}.",
            remedy="Choose an address of this machine with --host.",
            code="host_unknown",
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _open(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket | None:
    """A listening socket; None for an address that this machine does not have."""
    host, port = address[:2]
    listening = None
    try:
        # The protocol is named because asyncio sends small pieces at once only where it is; TCP
        # would otherwise hold a token back until the client has acknowledged the last one.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            # Each address has a socket of its own.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        taken = error.errno == errno.EADDRINUSE
        raise TorbizError(
            f"Port {port} on {host} is taken."
            if taken
            else f"Port {port} on {host} cannot be opened.",
            why=f"{error.strerror}.",
            remedy="Choose another port (api.port, or --port), or end the program that has it.",
            code="port_taken" if taken else "port_refused",
        ) from error
    listening.setblocking(False)
    return listening
