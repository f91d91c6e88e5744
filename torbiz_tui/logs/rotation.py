"""Bounding the size of logs that other programs have open."""

from __future__ import annotations

from pathlib import Path


def bound(file: Path, *, max_bytes: int, kept: int) -> bool:
    """Rotate a log that has grown past `max_bytes`, also while programs append to it.

    Returns whether it did. Raises OSError.
    """
    raise NotImplementedError
