"""How long something takes, on a machine that other tests keep busy."""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable

TRIES = 5


def seconds_computed(run: Callable[[], object]) -> float:
    """How long the programs that `run` waits for compute, however long others hold them up."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


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
