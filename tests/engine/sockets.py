"""Unix sockets that behave like engines which cannot be had here: old, starting, stuck ones."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Answer = Callable[[socket.socket], None]

VERSION = {"ApiVersion": "1.47", "Version": "27.4.0", "Os": "linux", "Arch": "arm64"}


def says(status: int, body: object) -> Answer:
    """Answers every request alike."""
    text = body if isinstance(body, str) else json.dumps(body)

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text.encode())}\r\nConnection: close\r\n\r\n{text}".encode()
        )

    return answer


def hangs_up(connection: socket.socket) -> None:
    """Closes without an answer, as Docker Desktop's proxy does before its engine is up."""
    connection.recv(65536)


def is_silent(connection: socket.socket) -> None:
    """Never answers."""
    connection.recv(65536)
    connection.recv(1)


@contextlib.contextmanager
def listening(path: Path, answer: Answer) -> Iterator[str]:
    """A socket at `path` whose connections get `answer`; gives its address."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                answer(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown(socket.SHUT_RDWR)
    path.unlink(missing_ok=True)


def left_behind(path: Path) -> str:
    """A socket file at which nobody listens any more, as a killed engine leaves it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return f"unix://{path}"
