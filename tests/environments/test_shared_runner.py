"""Programs that share a chat runner: the real socket form, with a model that says the question again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from torbiz_tui.environments import shared_runner
from torbiz_tui.environments.processes import clean_environ, start_mark, wait_gone
from torbiz_tui.environments.shared_runner import SharedRunner, SharedRunners
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths

SCRIPT = Path(__file__).parents[1] / "runner_scripts" / "scripted_runner.py"


@pytest.fixture
async def paths(tmp_path: Path) -> AsyncIterator[Paths]:
    paths = Paths(tmp_path / "home")
    paths.ensure()
    yield paths
    assert await SharedRunners(paths).end_unused() == []


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        yield Path(folder)


async def reach(
    paths: Paths, key: str = "k1", *options: str, runners: SharedRunners | None = None
) -> SharedRunner:
    """Join or start as a program of its own does."""
    return await (runners or SharedRunners(paths)).reach(
        key,
        "echo",
        [sys.executable, str(SCRIPT), "--model-name", str(paths.models), *options],
        clean_environ({}),
        paths.logs / "petals_inference.log",
    )


async def say(runner: SharedRunner, text: str) -> str:
    """Ask, and put the answer together."""
    words = len(text.split())
    await runner.send({"type": "generate", "id": "q", "prompt": text, "max_new_tokens": words})
    said = ""
    async with asyncio.timeout(60):
        async for message in runner.messages():
            if message["type"] == "token":
                said += message["text"]
            elif message["type"] == "done":
                break
    return said


async def test_programs_that_begin_at_once_get_one_runner(paths: Paths) -> None:
    runners = await asyncio.gather(*(reach(paths) for _ in range(5)))
    assert len({runner.record.pid for runner in runners}) == 1
    answers = await asyncio.gather(*(say(runner, f"I am {n}") for n, runner in enumerate(runners)))
    assert answers == [f"I am {n} " for n in range(5)]
    other = await reach(paths, "k2")
    assert other.record.pid != runners[0].record.pid
    for runner in (*runners, other):
        await runner.close()


async def test_one_that_was_killed_is_replaced_and_its_end_known_to_who_started_it(
    paths: Paths,
) -> None:
    starter = await reach(paths)
    joined = await reach(paths)
    os.kill(starter.record.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        assert all([message["type"] != "done" async for message in joined.messages()])
        report = await starter.wait()
        seen = await joined.wait()
    assert report is not None
    assert report.signal == "SIGKILL"
    assert seen is not None
    assert (seen.signal, seen.code) == (None, None)
    with pytest.raises(TorbizError) as caught:
        await starter.send({"type": "generate", "id": "q", "prompt": "still there?"})
        await starter.send({"type": "generate", "id": "r", "prompt": "still there?"})
    assert caught.value.code == "runner_died"
    again = await reach(paths)
    assert again.record.pid != starter.record.pid
    assert await say(again, "here") == "here "
    assert not Path(starter.record.socket).exists()
    for runner in (starter, joined, again):
        await runner.close()


async def test_it_outlives_who_started_it_for_as_long_as_it_is_to_linger(paths: Paths) -> None:
    runner = await reach(paths, "k1", "--linger", "60")
    await runner.close()
    again = await reach(paths, "k1", "--linger", "60")
    assert again.record == runner.record
    await again.close()
    (record,) = [again.record]
    short = await reach(paths, "k2", "--linger", "0")
    await short.close()
    assert await wait_gone(short.record.pid, short.record.start_mark, 10)
    assert start_mark(record.pid) == record.start_mark


async def test_only_one_that_nobody_uses_is_ended(paths: Paths) -> None:
    used, left = await reach(paths, "k1"), await reach(paths, "k2")
    await left.close()
    assert await SharedRunners(paths).end_unused() == [used.record]
    assert start_mark(left.record.pid) is None
    assert await say(used, "still here") == "still here "
    await used.close()


async def test_one_that_hangs_is_killed_when_it_is_to_stop(paths: Paths) -> None:
    runner = await reach(paths)
    os.kill(runner.record.pid, signal.SIGSTOP)
    report = await runner.stop(grace_s=0.2)
    assert report.killed
    assert report.signal == "SIGKILL"
    assert start_mark(runner.record.pid) is None


async def test_a_home_with_a_long_path_listens_elsewhere(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = short_folder
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(outside))
    paths = Paths(tmp_path / ("long" * 25) / "home")
    paths.ensure()
    runner = await reach(paths)
    assert await say(runner, "hello") == "hello "
    (folder,) = outside.iterdir()
    assert Path(runner.record.socket).parent == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    await runner.stop()
    folder.chmod(0o755)
    with pytest.raises(TorbizError, match="not yours alone") as caught:
        await reach(paths)
    assert caught.value.code == "home_too_long"


async def test_one_that_cannot_start_says_why(paths: Paths) -> None:
    with pytest.raises(TorbizError) as caught:
        await reach(paths, "k1", "--no-such-option")
    assert caught.value.code == "runner_not_started"
    assert "exit code 2" in caught.value.why
    assert "--no-such-option" in caught.value.details[-1]


async def test_who_gives_up_while_it_joins_does_not_keep_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = await reach(paths, "k1", "--linger", "0")
    os.kill(used.record.pid, signal.SIGSTOP)
    first_bytes, connected = shared_runner._first_bytes, asyncio.Event()

    async def note(reader: asyncio.StreamReader) -> bytes | None:
        connected.set()
        return await first_bytes(reader)

    monkeypatch.setattr(shared_runner, "_first_bytes", note)
    monkeypatch.setattr(shared_runner, "_FIRST_WORD_S", 600.0)
    joining = asyncio.create_task(reach(paths, "k1", "--linger", "0"))
    await asyncio.wait_for(connected.wait(), 60)
    joining.cancel()
    await asyncio.wait([joining])
    os.kill(used.record.pid, signal.SIGCONT)
    await used.close()
    assert await wait_gone(used.record.pid, used.record.start_mark, 30)
