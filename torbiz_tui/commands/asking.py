"""Asking the person at the terminal."""

from __future__ import annotations

import asyncio
import sys


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
