"""Logs of a wanted size whose times only rise, with rare lines near the beginning and the end."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

RARE = {"the beginning": "xylophone-4711", "the end": "bandoneon-4711"}
# Stands in the rare lines, and not in what is typed to find them.
RARE_SEEN = b"QXRAREQX"
LAST_SEEN = b"QXLASTQX"
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_PER_SECOND = 1000
_RARE_AT_SECOND = 2
_LEAST_SECONDS = 2 * _RARE_AT_SECOND + 1


def write_log(file: Path, size: int) -> None:
    """Write `size` bytes or a little more: 1,000 lines a second, as Petals' server writes them."""
    chosen = random.Random(4711)
    levels = ["INFO"] * 90 + ["WARN"] * 5 + ["DEBUG"] * 4 + ["ERROR"]
    ends = [
        f",{number:03} [{chosen.choice(levels)}] [petals.server.handler.{chosen.randrange(90)}]"
        f" rpc_inference: {chosen.randrange(10**9)} bytes of session"
        f" {chosen.getrandbits(64):016x} in {chosen.random():.4f} s\n"
        for number in range(_PER_SECOND)
    ]
    size_of_second = sum(map(len, ends)) + _PER_SECOND * len("2026-11-01 00:00:00")
    seconds = max(_LEAST_SECONDS, -(-size // size_of_second))
    rare = dict(zip((_RARE_AT_SECOND, seconds - 1 - _RARE_AT_SECOND), RARE.values(), strict=True))
    with file.open("wb") as stream:
        for second in range(seconds):
            stamp = f"{_BEGIN + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"
            text = stamp + stamp.join(ends)
            if second in rare:
                text += f"{stamp},999 [INFO] [petals.rare] {rare[second]} {RARE_SEEN.decode()}\n"
            stream.write(text.encode())
        stamp = f"{_BEGIN + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"
        stream.write(f"{stamp},000 [INFO] [petals.last] {LAST_SEEN.decode()}\n".encode())
