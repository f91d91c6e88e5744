"""How long something takes, on a machine that other tests keep busy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

TRIES = 5


def require_prompt(attempt: Callable[[], float], limit_s: float) -> None:
    """Require that an attempt takes less than `limit_s`; it returns the seconds that it took.

    What is slow is so each time. What another process held up is not, so it may try again.
    """
    took: list[float] = []
    while len(took) < TRIES:
        took.append(attempt())
        if took[-1] < limit_s:
            return
    raise AssertionError(f"not once within {limit_s} s, but in {took}")


async def require_prompt_async(attempt: Callable[[], Awaitable[float]], limit_s: float) -> None:
    """The same for what is awaited."""
    took: list[float] = []
    while len(took) < TRIES:
        took.append(await attempt())
        if took[-1] < limit_s:
            return
    raise AssertionError(f"not once within {limit_s} s, but in {took}")
