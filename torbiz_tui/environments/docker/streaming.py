"""Blocking iterators of the SDK as asynchronous ones: bounded, in order, closed at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from torbiz_tui.environments.docker.connection import EngineConnection

T = TypeVar("T")

# Items that wait between the thread and the loop; one of a log is at most 16 KiB.
WAITING_ITEMS = 128


class EngineStream(Generic[T]):
    """Runs `open_stream` and what it gives in a thread, with a connection of its own.

    `still_there` is asked every `silence_s` seconds in which nothing comes; it raises when the
    engine does not answer any more.
    """

    def __init__(
        self,
        connect: Callable[[], EngineConnection],
        open_stream: Callable[[EngineConnection], Iterator[T]],
        still_there: Callable[[], Awaitable[None]],
        *,
        name: str,
        silence_s: float,
    ) -> None:
        self._connect = connect
        self._open_stream = open_stream
        self._still_there = still_there
        self._name = name
        self._silence_s = silence_s
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None
        self._connection: EngineConnection | None = None
        self._wake = asyncio.Event()

    async def items(self) -> AsyncGenerator[T, None]:
        """The items; raises what the iterator raises, after the items before it."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name=self._name, daemon=True).start()
        try:
            while True:
                await self._something()
                with self._changed:
                    self._wake.clear()
                    batch, self._items = self._items, deque()
                    ended = self._ended
                    self._changed.notify_all()
                for item in batch:
                    yield item
                if ended:
                    break
            if self._error is not None:
                raise self._error
        finally:
            self._close()

    async def _something(self) -> None:
        while not self._wake.is_set():
            try:
                async with asyncio.timeout(self._silence_s):
                    await self._wake.wait()
            except TimeoutError:
                await self._still_there()

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
            connection = self._connection
        if connection is not None:
            connection.cut()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._read()
        except BaseException as caught:  # noqa: BLE001 (raised again where it is awaited)
            error = caught
        with self._changed:
            self._error, self._ended = error, True
            connection = self._connection
        self._tell()
        if connection is not None:
            connection.close()

    def _read(self) -> None:
        connection = self._connect()
        with self._changed:
            self._connection = connection
            if self._closed:
                return
        for item in _raising(self._open_stream(connection)):
            with self._changed:
                while len(self._items) >= WAITING_ITEMS and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                self._items.append(item)
                first = len(self._items) == 1
            if first:
                self._tell()

    def _tell(self) -> None:
        # The loop is closed when nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)


def _raising(items: Iterator[T]) -> Iterator[T]:
    """The same items with the errors that the SDK's own wrapper takes for an end."""
    from docker.types.daemon import CancellableStream

    if isinstance(items, CancellableStream):
        inner: Iterator[T] = items._stream  # type: ignore[attr-defined]
        return inner
    return items
