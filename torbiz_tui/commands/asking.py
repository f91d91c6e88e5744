"""Asking the person at the terminal."""

from __future__ import annotations

import asyncio
import sys

from torbiz_tui.commands.output import tell
from torbiz_tui.errors import TorbizError
from torbiz_tui.pickled_weights import PICKLED


def someone_answers() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


async def answer(question: str) -> str:
    """The answer in lower case; an end of input means no, a Ctrl-C is not kept waiting for it."""
    sys.stderr.write(question)
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    line = sys.stdin.readline()
    return line.strip().lower() if line else "no"


async def agreed(error: TorbizError, code: str, question: str, *, otherwise: str) -> None:
    """Return when a person says yes to what this error is about; otherwise it is raised.

    `otherwise` is what a no means.
    """
    if error.code != code or not someone_answers():
        raise error
    tell(f"{error.what} {error.why}")
    if await answer(f"{question} [y/N] ") not in ("y", "yes"):
        raise TorbizError(otherwise, code=error.code) from None


async def agreed_to_pickled(error: TorbizError, *, otherwise: str) -> None:
    """The same for weights that can run code."""
    await agreed(error, PICKLED, "Load what may run code of its owner?", otherwise=otherwise)
