"""A client of the Docker SDK whose sockets can be closed while a thread waits at them."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from torbiz_tui.environments.docker.endpoints import Endpoint

if TYPE_CHECKING:
    from docker import DockerClient

# Every engine answers `GET /version` without a version; the SDK wants one to make a client.
_ANY_API_VERSION = "1.24"


class EngineConnection:
    """One client for one caller at a time; `cut` may be called from any thread.

    Opening it reads files (the SDK's configuration, certificates), so it belongs into a thread.
    It sends nothing by itself. `timeout_s` limits every wait for the engine; None sets no limit.
    Raises what the SDK raises for a wrong address or for missing certificates.
    """

    def __init__(
        self, endpoint: Endpoint, *, api_version: str = "", timeout_s: float | None
    ) -> None:
        self._sockets = _Sockets()
        self._endpoint = endpoint
        self.client = self._open(api_version or _ANY_API_VERSION, timeout_s)
        for adapter in self.client.api.adapters.values():
            self._sockets.watch(adapter)

    def _open(self, api_version: str, timeout_s: float | None) -> DockerClient:
        import docker

        address, tls = self._endpoint.address, self._endpoint.tls
        if not address.startswith("ssh://"):
            client = docker.DockerClient(
                base_url=address,
                version=api_version,
                timeout=timeout_s,  # type: ignore[arg-type]  # None is what requests takes
                tls=_tls_config(tls) if tls is not None else False,
            )
            if tls is not None:
                # REQUESTS_CA_BUNDLE would be believed instead of the engine's own authority.
                client.api.trust_env = False
            return client
        from torbiz_tui.environments.docker.ssh_transport import SshAdapter

        client = docker.DockerClient(
            base_url="unix:///ssh",
            version=api_version,
            timeout=timeout_s,  # type: ignore[arg-type]
        )
        client.api.mount("http+docker://", SshAdapter(address))
        return client

    def limit(self, timeout_s: float | None) -> None:
        """Set the time limit of the calls to come."""
        self.client.api.timeout = timeout_s  # type: ignore[assignment]

    def cut(self) -> None:
        """Close the sockets at once; a thread that waits at one gets an error or the end."""
        self._sockets.cut()

    def close(self) -> None:
        """Close the connection when nobody uses it."""
        self.cut()
        with contextlib.suppress(Exception):
            self.client.close()


def _tls_config(tls: Any) -> Any:
    from docker.tls import TLSConfig

    certificate = (tls.certificate, tls.key) if tls.certificate else None
    return TLSConfig(client_cert=certificate, ca_cert=tls.authority or None, verify=tls.verify)


class _Sockets:
    """The sockets that the adapters of one client have opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._cut = False
        self._pools: WeakSet[Any] = WeakSet()

    def watch(self, adapter: Any) -> None:
        # The one place that all of the SDK's transports share. A connection that the engine
        # answers with "Connection: close" forgets its socket, so it is noted when it is opened.
        get_pool = adapter.get_connection_with_tls_context

        def get_watched_pool(*args: Any, **kwargs: Any) -> Any:
            pool = get_pool(*args, **kwargs)
            if pool not in self._pools:
                self._pools.add(pool)
                self._watch_pool(pool)
            return pool

        adapter.get_connection_with_tls_context = get_watched_pool

    def _watch_pool(self, pool: Any) -> None:
        new_connection = pool._new_conn

        def new_watched_connection() -> Any:
            connection = new_connection()
            connect = connection.connect

            def connect_watched() -> None:
                connect()
                self._note(connection.sock)

            connection.connect = connect_watched
            return connection

        pool._new_conn = new_watched_connection

    def _note(self, opened: socket.socket) -> None:
        with self._lock:
            self._open = [one for one in self._open if one.fileno() != -1]
            self._open.append(opened)
            if self._cut:
                _shut(opened)

    def cut(self) -> None:
        with self._lock:
            self._cut = True
            for one in self._open:
                _shut(one)


def _shut(opened: socket.socket) -> None:
    # Closing alone would not wake the thread that reads.
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        opened.close()
