"""One producer, many listeners, all on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Subscription(Generic[T]):
    """What one listener receives, in order; iterate over it with `async for`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue()

    def put(self, item: T) -> None:
        """Hand one item to the listener."""
        self._queue.put_nowait(item)

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            yield await self._queue.get()


class Broadcast(Generic[T]):
    """Hands every published item to every current subscriber."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription[T]] = []

    def publish(self, item: T) -> None:
        """Hand `item` to all who listen now; call it on the event loop."""
        for subscription in self._subscriptions:
            subscription.put(item)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription[T]]:
        """Listen for as long as the context lasts."""
        subscription: Subscription[T] = Subscription()
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
