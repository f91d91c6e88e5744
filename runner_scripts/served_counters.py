"""What a server serves, counted where Petals does it and told in its log.

Petals computes in one process and talks to clients in others, its handlers, which are forks of it.
Tokens are counted where they are computed; each handler counts into a part of shared memory that it
alone writes, so nothing is locked. A line tells the numbers whenever they have changed:

    Serving: 12.3 tokens/s, 1204+512 tokens, 1 open of 14 requests, cache 640/8192 tokens
    1310720/16777216 bytes, 90210/45105 bytes, 1 clients: SRx4yK

`1204+512` are tokens of prompts (and of training) and generated ones. A token counts once it has
passed as many blocks as are served: a client that uses half of them counts half. The cache is what
open sessions have reserved. The bytes are those received from and sent to clients in their sessions.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import mmap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

PERIOD_S = 2.0
# A server that is never idle would fill its log: after so many lines in a row they get rarer.
LINES_IN_A_ROW = 60
BUSY_PERIOD_S = 10.0
HANDLERS = 64
CLIENTS_A_HANDLER = 32
CLIENTS_NAMED = 8
# Training has no sessions: who has sent something so recently is a client as well.
RECENT_S = 10.0
NAME_LENGTH = 6
"""How much of a peer id Petals' own lines show."""

_OPEN = "rpc_inference.open"
_CLOSE = "rpc_inference.close"
_ALONE = ("rpc_forward", "rpc_forward_stream", "rpc_backward", "rpc_backward_stream")


class _Client(ctypes.Structure):
    """A peer that has sent something; `seen` is in the system's monotonic seconds."""

    _fields_ = (("name", ctypes.c_char * 8), ("open", ctypes.c_int64), ("seen", ctypes.c_double))
    name: bytes
    open: int
    seen: float


class _Part(ctypes.Structure):
    """What one handler counts."""

    _fields_ = (
        ("requests", ctypes.c_int64),
        ("received", ctypes.c_int64),
        ("sent", ctypes.c_int64),
        ("clients", _Client * CLIENTS_A_HANDLER),
    )
    requests: int
    received: int
    sent: int
    clients: Any

    def client(self, name: bytes) -> _Client | None:
        """The entry of a peer; None while all are taken by others with open sessions."""
        oldest: _Client | None = None
        for entry in self.clients:
            if entry.name == name:
                return entry  # type: ignore[no-any-return]
            if not entry.open and (oldest is None or entry.seen < oldest.seen):
                oldest = entry
        if oldest is not None:
            oldest.name = name
        return oldest


@dataclass(frozen=True)
class Served:
    """The numbers of a moment; see the module's text for what they mean."""

    rate: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    open: int = 0
    requests: int = 0
    cache_tokens: int = 0
    cache_tokens_size: int = 0
    cache_bytes: int = 0
    cache_bytes_size: int = 0
    received: int = 0
    sent: int = 0
    clients: tuple[str, ...] = ()

    def line(self) -> str:
        """The line of the log."""
        named = " ".join(self.clients[:CLIENTS_NAMED])
        return (
            f"Serving: {self.rate:.1f} tokens/s,"
            f" {self.prompt_tokens}+{self.generated_tokens} tokens,"
            f" {self.open} open of {self.requests} requests,"
            f" cache {self.cache_tokens}/{self.cache_tokens_size} tokens"
            f" {self.cache_bytes}/{self.cache_bytes_size} bytes,"
            f" {self.received}/{self.sent} bytes,"
            f" {len(self.clients)} clients{f': {named}' if named else ''}"
        )


class ServedCounters:
    """Counts what this process and its handlers serve; make it and `hook` before they are forked."""

    def __init__(self, handlers: int = HANDLERS) -> None:
        self._memory = mmap.mmap(-1, ctypes.sizeof(_Part) * handlers)  # shared with forks
        self._parts = (_Part * handlers).from_buffer(self._memory)
        self._own: _Part | None = None
        self._container: Any = None
        # Tokens times blocks of the container of now, and tokens of those before it.
        self._prompt_passes = self._generated_passes = 0
        self._earlier = (0.0, 0.0)
        self._last: tuple[float, float] | None = None

    def hook(self) -> None:
        """Count in the handlers of Petals and in hivemind's streams; call it after their import."""
        handler = importlib.import_module("petals.server.handler").TransformerConnectionHandler
        log, begin = handler._log_request, handler.add_p2p_handlers

        def log_request(own: Any, method: str, uids: Any, context: Any, **told: Any) -> None:
            # The line first: who counts lines then never stays ahead of these numbers.
            log(own, method, uids, context, **told)
            if not told:
                self.note(method, str(context.remote_id))

        async def add_p2p_handlers(own: Any, *arguments: Any, **named: Any) -> None:
            self.begin_handler(own._handler_index)
            await begin(own, *arguments, **named)

        handler._log_request, handler.add_p2p_handlers = log_request, add_p2p_handlers
        self._hook_streams(importlib.import_module("hivemind.p2p").P2P)

    def _hook_streams(self, p2p: Any) -> None:
        send, receive = p2p.send_raw_data, p2p.receive_raw_data

        async def send_raw_data(data: bytes, *arguments: Any, **named: Any) -> None:
            if self._own is not None:
                self._own.sent += len(data)
            await send(data, *arguments, **named)

        async def receive_raw_data(reader: Any) -> Any:
            data = await receive(reader)
            if self._own is not None:
                self._own.received += len(data)
            return data

        p2p.send_raw_data = staticmethod(send_raw_data)
        p2p.receive_raw_data = staticmethod(receive_raw_data)

    def begin_handler(self, index: int) -> None:
        """Be the handler of that number; what one before it had open is not open any more."""
        self._own = self._parts[index % len(self._parts)]
        for client in self._own.clients:
            client.open, client.seen = 0, 0.0

    def note(self, method: str, peer: str) -> None:
        """Count what a handler logs of a request."""
        if self._own is None or method not in (_OPEN, _CLOSE, *_ALONE):
            return
        client = self._own.client(peer[-NAME_LENGTH:].encode("ascii", "replace"))
        if client is not None:
            client.seen = time.monotonic() if method in _ALONE else 0.0
            client.open = max(0, client.open + {_OPEN: 1, _CLOSE: -1}.get(method, 0))
        if method != _CLOSE:
            self._own.requests += 1

    def watch(self, container: Any) -> None:
        """Count the tokens that this module container computes, from now on."""
        self._earlier = self._tokens()
        self._prompt_passes = self._generated_passes = 0
        self._container = container
        compute = container.runtime.process_batch

        def process_batch(pool: Any, index: int, *batch: Any) -> Any:
            result = compute(pool, index, *batch)
            self.computed(batch)
            return result

        container.runtime.process_batch = process_batch

    def computed(self, batch: tuple[Any, ...]) -> None:
        """Count a batch: hidden states first, and in a session the blocks they went through third."""
        sequences, length, *_ = batch[0].shape
        in_session = len(batch) > 2 and isinstance(batch[2], tuple)
        passes = sequences * length * (len(batch[2]) if in_session else 1)
        if in_session and length == 1:
            self._generated_passes += passes
        else:
            self._prompt_passes += passes

    def _tokens(self) -> tuple[float, float]:
        if self._container is None:
            return self._earlier
        blocks = max(1, len(self._container.module_backends))
        prompts, generated = self._earlier
        return prompts + self._prompt_passes / blocks, generated + self._generated_passes / blocks

    def look(self) -> Served:
        """The numbers as they are now; the rate is that since the last look."""
        now, tokens = time.monotonic(), self._tokens()
        before, self._last = self._last, (now, sum(tokens))
        rate = 0.0
        if before is not None and now > before[0]:
            rate = (sum(tokens) - before[1]) / (now - before[0])
        parts = self._used_parts()
        clients = sorted({name for part in parts for name in _clients_of(part, now)})
        return self._with_cache(
            Served(
                rate=rate,
                prompt_tokens=round(tokens[0]),
                generated_tokens=round(tokens[1]),
                open=sum(client.open for part in parts for client in part.clients),
                requests=sum(part.requests for part in parts),
                received=sum(part.received for part in parts),
                sent=sum(part.sent for part in parts),
                clients=tuple(clients),
            )
        )

    def _used_parts(self) -> list[_Part]:
        handlers = len(self._container.conn_handlers) if self._container is not None else 0
        return list(self._parts[: min(handlers, len(self._parts))])

    def _with_cache(self, served: Served) -> Served:
        if self._container is None:
            return served
        backends = list(self._container.module_backends.values())
        cache = backends[0].memory_cache
        a_token = sum(max(backend.cache_bytes_per_token.values()) for backend in backends)
        return replace(
            served,
            cache_tokens=cache.current_size_bytes // a_token,
            cache_tokens_size=cache.max_size_bytes // a_token,
            cache_bytes=cache.current_size_bytes,
            cache_bytes_size=cache.max_size_bytes,
        )

    def start_telling(self, logger: logging.Logger) -> None:
        """Write the line every few seconds, where it has changed."""
        # Below the level of what people read: the program reads it.
        own = logger.getChild("served")
        own.setLevel(logging.DEBUG)
        threading.Thread(target=self._tell, args=(own,), name="served", daemon=True).start()

    def _tell(self, logger: logging.Logger) -> None:
        last, in_a_row = "", 0
        while True:
            time.sleep(PERIOD_S if in_a_row < LINES_IN_A_ROW else BUSY_PERIOD_S)
            try:
                line = self.look().line()
            except Exception as error:  # the next look tries again
                logger.debug("What is served cannot be told: %r", error)
                continue
            in_a_row = in_a_row + 1 if line != last else 0
            if line != last:
                logger.debug("%s", line)
            last = line


def _clients_of(part: _Part, now: float) -> Iterator[str]:
    for client in part.clients:
        if client.open or (client.seen and now - client.seen < RECENT_S):
            yield client.name.decode("ascii", "replace")
