"""The runner's socket form: any number of programs talk with one runner, until none is left."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from typing import Any, Protocol

from chat_runner import Connection
from json_lines import LineSplitter, encode_line
from log_lines import runner_logger
from process_signals import close_in_children, forget_descriptor
from socket_file import SocketFile

MAX_CONNECTIONS = 64
MAX_PENDING_BYTES = 4 * 1024 * 1024
MAX_STALL_S = 30.0
FIRST_CONNECTION_S = 10.0
FLUSH_S = 1.0
_READ_BYTES = 65536

logger = runner_logger()


class Runner(Protocol):
    """Who is told of connections and their lines."""

    def connect(self, connection: Connection) -> None:
        """Take a new connection."""

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection that is gone."""

    def receive(self, connection: Connection, line: bytes) -> None:
        """Do what a line asks for."""

    def request_stop(self) -> None:
        """End."""


class SocketConnection:
    """A program at the other end of a socket.

    Writing never waits: what the program has not read yet is held back up to a limit. Beyond it,
    or when the program reads nothing for long, the connection is broken.
    """

    def __init__(self, peer: socket.socket, listener: Listener) -> None:
        self.peer = peer
        self.events = selectors.EVENT_READ
        self.lines = LineSplitter()
        self._listener = listener
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._stalled_since = 0.0
        self._broken = ""

    def write(self, event: dict[str, Any]) -> None:
        """Send an event, or hold it back; from any thread."""
        data = encode_line(event)
        with self._lock:
            if self._broken:
                return
            if not self._pending:
                data = data[self._send(data) :]
                if not data and not self._broken:
                    return
                self._stalled_since = time.monotonic()
            if len(self._pending) + len(data) > MAX_PENDING_BYTES:
                self._broken = "it does not read what it has asked for"
            else:
                self._pending += data
        self._listener.wake()

    def flush(self) -> None:
        """Send what was held back, as much as goes."""
        with self._lock:
            sent = self._send(self._pending)
            del self._pending[:sent]
            if sent:
                self._stalled_since = time.monotonic()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.peer.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._broken = error.strerror or "it is gone"
            return 0

    @property
    def pending(self) -> int:
        """The number of bytes that are held back."""
        return len(self._pending)

    @property
    def broken(self) -> str:
        """Why it can be used no longer; empty while it can."""
        if self._pending and time.monotonic() > self._stalled_since + MAX_STALL_S:
            return self._broken or f"it has read nothing for {MAX_STALL_S:.0f} s"
        return self._broken


class Listener:
    """Accepts connections, reads their lines and writes what is held back, in one thread.

    It asks the runner to stop when no connection has been open for `linger_s`; the first one has
    at least FIRST_CONNECTION_S to come.
    """

    def __init__(
        self, file: SocketFile, listening: socket.socket, runner: Runner, linger_s: float
    ) -> None:
        self._file = file
        self._listening: socket.socket | None = listening
        self._runner = runner
        self._linger_s = linger_s
        self._lonely_since = time.monotonic() + max(0.0, FIRST_CONNECTION_S - linger_s)
        self._connections: list[SocketConnection] = []
        self._ends_at: float | None = None
        self._met = threading.Event()
        self._selector = selectors.DefaultSelector()
        receiving, self._waking = os.pipe()
        for descriptor in (receiving, self._waking):
            os.set_blocking(descriptor, False)
            close_in_children(descriptor)
        self._selector.register(listening, selectors.EVENT_READ, self._accept)
        self._selector.register(receiving, selectors.EVENT_READ, lambda _: os.read(receiving, 4096))
        self._thread = threading.Thread(target=self._run, name="listening", daemon=True)

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def wake(self) -> None:
        """Look after the connections now; from any thread."""
        with contextlib.suppress(BlockingIOError):  # it will wake up anyway
            os.write(self._waking, b".")

    def wait_for_connection(self, timeout_s: float) -> bool:
        """Wait until somebody has connected, and tell whether somebody has."""
        return self._met.wait(timeout_s)

    def close(self) -> None:
        """Send what is held back, within FLUSH_S, and close all connections."""
        self._ends_at = time.monotonic() + FLUSH_S
        self.wake()
        self._thread.join(2 * FLUSH_S)

    def _run(self) -> None:
        while not self._is_over():
            for key, events in self._selector.select(self._wait_s()):
                key.data(events)
            for connection in list(self._connections):
                self._tend(connection)
            self._leave_if_lonely()
        self._stop_accepting()
        for connection in list(self._connections):
            self._drop(connection)

    def _is_over(self) -> bool:
        if self._ends_at is None:
            return False
        pending = any(connection.pending for connection in self._connections)
        return not pending or time.monotonic() > self._ends_at

    def _wait_s(self) -> float:
        if self._ends_at is not None:
            return 0.05
        if not self._connections:
            return max(0.0, self._lonely_since + self._linger_s - time.monotonic())
        return MAX_STALL_S / 2

    def _accept(self, _events: int) -> None:
        assert self._listening is not None
        try:
            peer, _address = self._listening.accept()
        except OSError as error:  # it has gone already, or no descriptor is left
            logger.warning("A connection could not be accepted: %s", error)
            time.sleep(0.1)
            return
        peer.setblocking(False)
        connection = SocketConnection(peer, self)
        if len(self._connections) >= MAX_CONNECTIONS:
            message = f"{MAX_CONNECTIONS} programs are connected already."
            error_event = {"type": "error", "id": None, "code": "busy", "message": message}
            connection.write(error_event | {"fatal": True})
            peer.close()
            return
        close_in_children(peer.fileno())
        self._connections.append(connection)
        self._selector.register(
            peer, connection.events, lambda events: self._serve(connection, events)
        )
        self._runner.connect(connection)
        self._met.set()

    def _serve(self, connection: SocketConnection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.flush()
        if not events & selectors.EVENT_READ:
            return
        try:
            data = connection.peer.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        for line in connection.lines.feed(data):
            self._runner.receive(connection, line)

    def _tend(self, connection: SocketConnection) -> None:
        if reason := connection.broken:
            logger.warning("Closing a connection: %s", reason)
            self._drop(connection)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.pending else 0)
        if events != connection.events:
            connection.events = events
            key = self._selector.get_key(connection.peer)
            self._selector.modify(connection.peer, events, key.data)

    def _drop(self, connection: SocketConnection) -> None:
        self._connections.remove(connection)
        self._selector.unregister(connection.peer)
        self._runner.disconnect(connection)
        forget_descriptor(connection.peer.fileno())
        with contextlib.suppress(OSError):  # the other end was faster
            # A child forked a moment ago may have the descriptor too.
            connection.peer.shutdown(socket.SHUT_RDWR)
        connection.peer.close()
        self._lonely_since = time.monotonic()

    def _leave_if_lonely(self) -> None:
        if self._connections or self._ends_at is not None:
            return
        if time.monotonic() < self._lonely_since + self._linger_s:
            return
        # Who has connected meanwhile is still answered; a later one starts a runner of its own.
        self._stop_accepting()
        if not self._connections:
            logger.info("Nobody is connected any more: ending")
            self._ends_at = time.monotonic()
            self._runner.request_stop()

    def _stop_accepting(self) -> None:
        self._file.remove()
        self._linger_s = 0.0
        listening = self._listening
        if listening is None:
            return
        while _is_readable(listening):
            before = len(self._connections)
            self._accept(0)
            if len(self._connections) == before:
                break
        self._listening = None
        self._selector.unregister(listening)
        forget_descriptor(listening.fileno())
        listening.close()


def _is_readable(listening: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        return bool(selector.select(0))
