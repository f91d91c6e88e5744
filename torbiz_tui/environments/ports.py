"""Whether a TCP port of this machine is free."""

from __future__ import annotations

import contextlib
import socket

from torbiz_tui.errors import TorbizError


def require_free_port(port: int) -> None:
    """Raises TorbizError naming who has the TCP port; Petals itself would not notice.

    Two servers can listen on one port without an error (SO_REUSEPORT), so it is tried without.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 (a server listens on all addresses too)
        except OSError as error:
            raise TorbizError(
                f"Port {port} is taken{_port_owner(port)}.",
                why=f"{error.strerror}.",
                remedy="Choose another port (share.port, or --port), or end that program.",
                code="port_taken",
            ) from error


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
                return f" by {name} (process {connection.pid})"
    return ""
