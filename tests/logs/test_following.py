"""Following a file: no line lost, doubled or torn, whatever happens to the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.logs.following import LineAssembler, follow, read_lines, tail_offset


class Reader:
    """Collects what a follower yields."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.caught_up = asyncio.Event()
        self._grown = asyncio.Condition()

    async def read(self, source: AsyncIterator[list[str]]) -> None:
        async for batch in source:
            if not batch:
                self.caught_up.set()
            async with self._grown:
                self.lines += batch
                self._grown.notify_all()

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(30), self._grown:
            await self._grown.wait_for(lambda: len(self.lines) >= count)
        return self.lines


@asynccontextmanager
async def following(file: Path, offset: int = 0) -> AsyncIterator[Reader]:
    reader = Reader()
    task = asyncio.create_task(reader.read(follow(file, offset, poll_s=0.01)))
    try:
        yield reader
    finally:
        task.cancel()


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20)),
    st.lists(st.integers(1, 7), min_size=1),
)
def test_lines_do_not_depend_on_how_the_bytes_arrive(lines: list[str], cuts: list[int]) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    assembler = LineAssembler()
    got: list[str] = []
    position = turn = 0
    while position < len(data):
        step = cuts[turn % len(cuts)]
        got += assembler.feed(data[position : position + step])
        position += step
        turn += 1
    assert got + assembler.finish() == lines


@given(st.lists(st.text("ab\u00e9 ", max_size=8)), st.integers(1, 12), st.booleans())
def test_the_tail_is_the_last_lines(lines: list[str], count: int, final_newline: bool) -> None:
    import tempfile

    text = "\n".join(lines) + ("\n" if final_newline and lines else "")
    expected = text.split("\n")
    if expected[-1] == "":
        expected.pop()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.log"
        file.write_text(text, encoding="utf-8")
        assert read_lines(file, tail_offset(file, count)) == expected[-count:]


async def test_new_lines_arrive_and_a_torn_one_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\ntwo\n")
    async with following(file) as reader:
        assert await reader.until(2) == ["one", "two"]
        with file.open("ab") as stream:
            stream.write(b"thr")
            stream.flush()
            stream.write(b"ee\r\nfour \xff\n")
        assert await reader.until(4) == ["one", "two", "three", "four \ufffd"]


async def test_a_file_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "later.log"
    async with following(file) as reader:
        await reader.caught_up.wait()
        file.write_bytes(b"here\n")
        assert await reader.until(1) == ["here"]


async def test_rotation_by_rename_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"1\n")
    async with following(file) as reader:
        await reader.until(1)
        with file.open("ab") as stream:
            stream.write(b"2\nlast words")
        file.rename(tmp_path / "a.log.1")
        file.write_bytes(b"3\n")
        assert await reader.until(4) == ["1", "2", "last words", "3"]


async def test_truncation_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"a long first line\n")
    async with following(file) as reader:
        await reader.until(1)
        file.write_bytes(b"new\n")
        assert await reader.until(2) == ["a long first line", "new"]


async def test_it_ends_after_the_last_line_when_nobody_writes_any_more(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b"one\nno end")
    got = [line async for batch in follow(file, ended=lambda: True) for line in batch]
    assert got == ["one", "no end"]


async def test_it_ends_when_there_is_no_file_and_no_writer(tmp_path: Path) -> None:
    got = [batch async for batch in follow(tmp_path / "none", ended=lambda: True)]
    assert got == [[]]
