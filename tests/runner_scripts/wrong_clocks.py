"""Peers whose clocks are wrong, for tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .runner_process import SCRIPTS, runner_environment


@contextmanager
def shifted_peers(
    python: Path, shift_s: float, count: int, host: str, peer: str, before: tuple[str, ...] = ()
) -> Iterator[list[str]]:
    """Peers with a wrong clock in the swarm of `peer`; gives their addresses."""
    script = str(Path(__file__).with_name("shifted_peers.py"))
    process = subprocess.Popen(
        [*before, str(python), script, str(SCRIPTS), str(shift_s), str(count), host, peer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=runner_environment(),
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate(timeout=20)
