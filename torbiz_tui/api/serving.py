"""The HTTP server: runs the app on sockets until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import uvicorn

from torbiz_tui.api.app import Api
from torbiz_tui.logs.writing import logger

GRACE_S = 5.0
"""So long running answers may take after the end was asked for."""
# Clients keep connections for about a minute at most; the server should not be the first to close.
_KEEP_ALIVE_S = 75
_CLOSING_S = 1.0


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the command, which has more to close than the server."""
        yield


class _ToOurLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logger("api").handle(record)


async def serve(
    api: Api, sockets: Sequence[socket.socket], end: asyncio.Event, hurry: asyncio.Event
) -> None:
    """Answer requests until `end` is set; running answers then have 5 s, or until `hurry` is set."""
    _log_to_ours()
    server = _Server(
        uvicorn.Config(
            api.app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            # A client could otherwise choose the address that the log has of it.
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
    )
    serving = asyncio.create_task(server.serve(list(sockets)), name="serve the API")
    try:
        await _any_of(serving, end)
        server.should_exit = True
        if api.answers.count:
            await _any_of(serving, hurry, timeout_s=GRACE_S)
        api.answers.stop()
        await asyncio.wait([serving], timeout=_CLOSING_S)
        server.force_exit = True
        await asyncio.wait([serving], timeout=_CLOSING_S)
        if serving.done():
            serving.result()
    finally:
        serving.cancel()


async def _any_of(
    task: asyncio.Task[None], event: asyncio.Event, *, timeout_s: float | None = None
) -> None:
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([task, waiting], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _log_to_ours() -> None:
    """Without it what the server has to say would go to stderr, or nowhere."""
    theirs = logging.getLogger("uvicorn")
    theirs.propagate = False
    theirs.setLevel(logging.WARNING)
    if not any(isinstance(handler, _ToOurLog) for handler in theirs.handlers):
        theirs.addHandler(_ToOurLog())
