"""Logs of a wanted size whose times only rise, with a rare line near the beginning."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

RARE = "xylophone-4711"
# Stands in the rare line, and not in what is typed to find it.
RARE_SEEN = b"QXRAREQX"
LAST_SEEN = b"QXLASTQX"
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_PER_SECOND = 1000
_RARE_AT_SECOND = 2


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
    written, second = 0, 0
    with file.open("wb") as stream:
        while written < size:
            stamp = f"{_BEGIN + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"
            text = stamp + stamp.join(ends)
            if second == _RARE_AT_SECOND:
                text += f"{stamp},999 [INFO] [petals.rare] {RARE} {RARE_SEEN.decode()}\n"
            written += stream.write(text.encode())
            second += 1
        stamp = f"{_BEGIN + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"
        stream.write(f"{stamp},000 [INFO] [petals.last] {LAST_SEEN.decode()}\n".encode())
