"""Blocking calls that a person may stop waiting for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def outcome_of(function: Callable[[], T]) -> tuple[Callable[[], None], asyncio.Future[T]]:
    """What another thread is to run, and the future that gets its result in this event loop."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as caught:  # noqa: BLE001 (raised again where it is awaited)
            error = caught
        # The loop is closed when nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    return run, outcome


async def call_abandonable(function: Callable[[], T], name: str) -> T:
    """Run a blocking call in a daemon thread and wait for its result.

    Unlike `asyncio.to_thread`, giving up (a time-out, a cancel) leaves nothing behind that the end
    of the program would wait for.
    """
    run, outcome = outcome_of(function)
    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome
