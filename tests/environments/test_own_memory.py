"""The memory of a server is told at a cost that its size does not raise."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator

import psutil
import pytest

from torbiz_tui.environments.own_memory import OwnMemory

SIZE = 64 * 2**20


class SlowProcess:
    """This process; an exact reading of its memory takes a second of `clock`."""

    def __init__(self) -> None:
        self._real = psutil.Process()
        self.pid = os.getpid()
        self.now = 0.0
        self.exact = 0
        self.memory_info = self._real.memory_info

    def clock(self) -> float:
        return self.now

    def memory_full_info(self) -> object:
        self.now += 1.0
        self.exact += 1
        return self._real.memory_full_info()


@pytest.fixture
def block() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, SIZE) as taken:
        yield taken


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no exact figure")
def test_an_exact_reading_is_not_repeated_before_a_hundred_times_its_cost(block: mmap.mmap) -> None:
    process = SlowProcess()
    memory = OwnMemory(process.clock)
    before = memory.of(process)  # type: ignore[arg-type]
    block.write(b"x" * SIZE)
    process.now += 99
    grown = memory.of(process)  # type: ignore[arg-type]
    assert process.exact == 1
    assert grown - before > SIZE // 2
    process.now += 2
    assert abs(memory.of(process) - grown) < SIZE // 2  # type: ignore[arg-type]
    assert process.exact == 2
    memory.keep_only(set())
    memory.of(process)  # type: ignore[arg-type]
    assert process.exact == 3
