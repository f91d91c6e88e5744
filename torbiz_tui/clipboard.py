"""The clipboard of the machine that the program runs on, through the tools that are there."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping

from torbiz_tui.logs.writing import logger

COPIED = "Sent to the clipboard (your terminal decides whether it takes it)."
COPIED_HERE = "On this machine's clipboard, and sent to your terminal (which decides itself)."
"""What can be said of a copy: a terminal never answers whether it took it."""
_LIMIT_S = 2.0

_WAYLAND = ("wl-copy",)
_X11 = (("xclip", "-selection", "clipboard", "-in"), ("xsel", "--clipboard", "--input"))
_MACOS = ("pbcopy",)
# In WSL the clipboard is that of Windows; clip.exe expects UTF-16 with a byte order mark.
_WINDOWS = ("clip.exe",)


async def copy_locally(text: str) -> bool:
    """Put the text on the clipboard of this machine; False when no tool did so within 2 s each.

    Over SSH without a forwarded display there is none that the person could paste from.
    """
    for command in _commands(os.environ):
        if await _run(command, text):
            return True
    return False


def _commands(environ: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The tools that may work here, the likeliest first, by their full paths."""
    wayland, x11 = environ.get("WAYLAND_DISPLAY"), environ.get("DISPLAY")
    if environ.get("SSH_CONNECTION") and not (wayland or x11):
        return []
    candidates: list[tuple[str, ...]] = []
    if sys.platform == "darwin":
        candidates.append(_MACOS)
    if wayland:
        candidates.append(_WAYLAND)
    if x11:
        candidates += _X11
    if environ.get("WSL_DISTRO_NAME"):
        candidates.append(_WINDOWS)
    return [
        (path, *arguments)
        for name, *arguments in candidates
        if (path := shutil.which(name, path=environ.get("PATH"))) is not None
    ]


async def _run(command: tuple[str, ...], text: str) -> bool:
    encoding = "utf-16" if command[0].endswith(_WINDOWS[0]) else "utf-8"
    try:
        # A session of its own, since wl-copy, xclip and xsel stay behind to serve the text; their
        # output goes nowhere, or waiting for its end would last as long as they do.
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        logger("app").warning("%s cannot be started: %s", command[0], error)
        return False
    try:
        async with asyncio.timeout(_LIMIT_S):
            await process.communicate(text.encode(encoding, "replace"))
    except (TimeoutError, OSError) as error:
        logger("app").warning("%s did not take the text: %r", command[0], error)
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        logger("app").warning("%s failed with code %d", command[0], process.returncode)
    return process.returncode == 0
