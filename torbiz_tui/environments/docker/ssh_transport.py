"""The Docker API through `ssh host docker system dial-stdio`, as the docker command does it.

The SDK's own way needs another SSH implementation, which knows neither the person's agent settings
nor their ProxyJump. Imports the SDK: import it only where an ssh:// address is used.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
from typing import Any
from urllib.parse import urlsplit

from docker.transport.unixconn import (
    UnixHTTPAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)

from torbiz_tui.environments.docker.causes import SshFailedError

CONNECT_TIMEOUT_S = 10


class SshAdapter(UnixHTTPAdapter):
    """Opens a process of ssh for every connection."""

    def __init__(self, address: str) -> None:
        super().__init__("http+unix:///", pool_connections=4, max_pool_size=4)
        self._argv = ssh_argv(address)

    def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _SshPool(url, self._argv)
            return pool


def ssh_argv(address: str) -> list[str]:
    """The command that speaks the Docker API on its standard streams.

    Nothing is asked: a password prompt would go to the terminal that the app draws on.
    """
    parts = urlsplit(address)
    argv = ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"]
    if parts.username:
        argv += ["-l", parts.username]
    if parts.port:
        argv += ["-p", str(parts.port)]
    remote = ["docker", *(["--host", f"unix://{parts.path}"] if parts.path.strip("/") else [])]
    return [*argv, "--", parts.hostname or "", *remote, "system", "dial-stdio"]


class _SshPool(UnixHTTPConnectionPool):
    def __init__(self, url: str, argv: list[str]) -> None:
        super().__init__(url, "/", maxsize=4)
        self._argv = argv

    def _new_conn(self) -> Any:
        return _SshConnection(self._argv)


class _SshConnection(UnixHTTPConnection):
    def __init__(self, argv: list[str]) -> None:
        super().__init__("http+docker://ssh", "/")
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self._said: Any = None

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the connection)
            self._process = subprocess.Popen(
                self._argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said,
                start_new_session=True,
            )
        # It ends by itself when the socket is closed.
        threading.Thread(target=self._process.wait, name="docker: ssh", daemon=True).start()
        ours.settimeout(self.timeout)
        self.sock = ours

    def getresponse(self) -> Any:
        try:
            return super().getresponse()
        except (OSError, EOFError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise SshFailedError(self._words() or "ssh ended without a word") from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().request(*args, **kwargs)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SshFailedError(self._words() or "ssh ended without a word") from error

    def _words(self) -> str:
        if self._process is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._said.seek(0)
        return str(self._said.read(4000).decode(errors="replace").strip())
