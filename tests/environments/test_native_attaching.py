"""A server's log is read from its beginning by who attaches to it, however often it was rotated."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import demo_config
from torbiz_tui.config import ShareConfig
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.environments.native_record import NativeRecord, record_from_json, record_to_json
from torbiz_tui.environments.processes import open_log, start_mark
from torbiz_tui.logs.rotation import bound
from torbiz_tui.logs.run_start import begin_run
from torbiz_tui.paths import Paths

_SPEC = ServerSpec(
    model="torbiz-demo",
    source="x",
    num_blocks=8,
    dht_prefix="x",
    blocks="0:8",
    torch_dtype="float32",
    throughput="1",
    port=1,
    new_swarm=True,
)
MEASURED = "[DEBUG] Serving: 0.0 tokens/s"
# Stands in for a server: it writes its lines as it is told to, and then more without an end.
_SERVER = """
import os, sys
for word in sys.stdin:
    os.write(1, word.encode())
"""


class Server:
    """A process that writes to the log of the hosted server."""

    def __init__(self, paths: Paths) -> None:
        self.log = paths.logs / "petals_seeder.log"
        self.log.write_bytes(b"of an earlier server\n")
        with open_log(self.log) as log:
            start = begin_run(log, "The server starts")
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=log
            )
        self.record = NativeRecord.of(
            self.process.pid,
            start_mark(self.process.pid) or "",
            time.time(),
            _SPEC,
            (self.log, start.offset),
            start.heading,
        )

    def write(self, *lines: str) -> None:
        assert self.process.stdin is not None
        size = self.log.stat().st_size + sum(len(line) + 1 for line in lines)
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()
        while self.log.stat().st_size < size:
            assert self.process.poll() is None

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    paths = Paths(tmp_path)
    paths.ensure()
    server = Server(paths)
    yield server
    server.end()


async def until_caught_up(lines: AsyncIterator[list[str]]) -> list[str]:
    """What was logged before."""
    read: list[str] = []
    async with asyncio.timeout(30):
        async for batch in lines:
            if not batch:
                break
            read += batch
    return read


async def test_who_attaches_after_rotations_reads_all_of_it_once(
    tmp_path: Path, server: Server
) -> None:
    """And who was there all the time has read the same."""
    config = demo_config(tmp_path)
    earlier = NativeDriver(Paths(tmp_path), config).server_lines(server.record)
    assert await until_caught_up(earlier) == []
    server.write("Started", "Running")
    assert bound(server.log, max_bytes=1, kept=9)
    server.write("a request", "another")
    assert bound(server.log, max_bytes=1, kept=9)
    server.write("now")
    # What the next program knows of it is what was written down.
    record = record_from_json(json.loads(json.dumps(record_to_json(server.record))))
    assert record == server.record
    driver = NativeDriver(Paths(tmp_path), config)
    later = driver.server_lines(record)
    everything = ["Started", "Running", "a request", "another", "now"]
    assert await until_caught_up(later) == everything
    server.write("the last one")
    assert bound(server.log, max_bytes=1, kept=9)
    server.end()
    rest = [line async for batch in later for line in batch]
    assert rest == ["the last one"]
    assert [line async for batch in earlier for line in batch] == [*everything, *rest]
    report = await driver.wait_server(record)
    assert report.last_lines == (*everything, *rest)


async def test_a_record_of_an_earlier_version_is_understood(server: Server) -> None:
    data = record_to_json(server.record)
    del data["log_heading"]
    record = record_from_json(data)
    assert record.log_start.offset == server.record.log_start.offset
    assert record.id == server.record.id


async def test_of_one_of_an_earlier_version_it_is_known_when_it_runs(server: Server) -> None:
    data = record_to_json(server.record)
    as_configured = ShareConfig(hours="22:00-06:00", restart_on_crash=False)
    # What this version has started was said with it.
    assert record_from_json(data, as_configured) == server.record
    for name in ("hours", "mains_only", "pause_when_busy", "reserve_percent", "restart_on_crash"):
        del data["spec"][name]
    spec = record_from_json(data, as_configured).spec
    assert (spec.hours, spec.restart_on_crash) == ("22:00-06:00", False)


@pytest.mark.parametrize(
    "after", [(*[MEASURED] * 30, "Bye"), (MEASURED,) * 90], ids=["a minute", "hours"]
)
async def test_what_tells_of_the_end_is_not_lost_among_what_was_measured(
    tmp_path: Path, server: Server, after: tuple[str, ...]
) -> None:
    server.write("It ran out of disk", *after)
    server.end()
    report = await NativeDriver(Paths(tmp_path), demo_config(tmp_path)).wait_server(server.record)
    assert report.last_lines == ("It ran out of disk", *(set(after) - {MEASURED}))
