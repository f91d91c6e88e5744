"""What a server says of itself to the supervisor that has started it, if one has."""

from __future__ import annotations

import contextlib
import os


def tell_supervisor(word: str) -> None:
    """Say `serving` once it does, or `refused` when another start would end the same way."""
    with contextlib.suppress(KeyError, ValueError, OSError):
        os.write(int(os.environ["TORBIZ_SUPERVISOR_FD"]), f"{word}\n".encode())
