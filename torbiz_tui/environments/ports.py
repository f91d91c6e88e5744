"""Whether a TCP port of this machine is free."""

from __future__ import annotations

import contextlib
import socket

from torbiz_tui.errors import TorbizError

_LOOKED_AT = 20
_LAST_PORT = 65535
_PETALS_NETWORK = "p2pd"


def require_free_port(port: int) -> None:
    """Raises TorbizError naming who has the TCP port; Petals itself would not notice.

    Two servers can listen on one port without an error (SO_REUSEPORT), so it is tried without.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 (a server listens on all addresses too)
        except OSError as error:
            owner = _port_owner(port)
            free = _free_near(port)
            other = f"Choose another port, such as {free}" if free else "Choose another port"
            raise TorbizError(
                f"Port {port} is taken{owner}.",
                why="" if owner else f"{error.strerror}.",
                remedy=f"{other} (share.port, or --port), or end that program.",
                code="port_taken",
            ) from error


def _free_near(port: int) -> int | None:
    for other in range(port + 1, min(port + _LOOKED_AT, _LAST_PORT) + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("0.0.0.0", other))  # noqa: S104
                return other
    return None


def _port_owner(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                name = psutil.Process(connection.pid).name()
                if name == _PETALS_NETWORK:
                    name = f"{name}, the network part of a Petals program"
                return f" by {name} (process {connection.pid})"
    return ""
