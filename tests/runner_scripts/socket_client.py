"""A program that talks with a listening chat runner."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .runner_process import START_TIMEOUT_S, Event


class SocketClient:
    """One connection; events are taken in the order in which they come."""

    def __init__(self, path: Path, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self._socket.close()
                assert time.monotonic() < deadline, f"nobody listens on {path}"
                time.sleep(0.01)
        self._lines = self._socket.makefile("rb")

    def send(self, event: Event | bytes) -> None:
        """Send one line."""
        line = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._socket.sendall(line + b"\n")

    def ask(self, request_id: str, text: str, **options: Any) -> None:
        """Ask a question of one message."""
        messages = [{"role": "user", "content": text}]
        self.send({"type": "generate", "id": request_id, "messages": messages, **options})

    def next_event(self, timeout_s: float = START_TIMEOUT_S) -> Event | None:
        """Wait for the next event; None when the runner has closed the connection."""
        self._socket.settimeout(timeout_s)
        try:
            line = self._lines.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        event: Event = json.loads(line)
        return event

    def until(
        self, matches: Callable[[Event], bool], timeout_s: float = START_TIMEOUT_S
    ) -> list[Event]:
        """Take events up to the first that matches, and return them."""
        deadline = time.monotonic() + timeout_s
        taken: list[Event] = []
        while not taken or not matches(taken[-1]):
            event = self.next_event(max(0.01, deadline - time.monotonic()))
            assert event is not None, f"closed after {taken[-3:]}"
            taken.append(event)
        return taken

    def until_ready(self) -> list[Event]:
        """Take events until questions are answered."""
        return self.until(lambda event: event.get("stage") == "ready")

    def is_closed(self, timeout_s: float = START_TIMEOUT_S) -> bool:
        """Take events until the runner closes the connection."""
        while self.next_event(timeout_s) is not None:
            pass
        return True

    def close(self) -> None:
        """Vanish."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
