"""The conversation as a person sees it: while it comes, scrolled, resized, and hostile."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.pilot import Pilot

from tests.app.seeing import screen_text, until, until_gone, until_shown
from tests.terminal import Terminal
from torbiz_tui.widgets.markdown_blocks import LONGEST, Splitter
from torbiz_tui.widgets.styled_rows import Row, size_of
from torbiz_tui.widgets.transcript import Entry, Transcript
from torbiz_tui.widgets.transcript_blocks import rows_of

ANSWER = """\
# Title
Some **bold** and `code`.

1. first
   - nested
1. second

> quoted

| name | value |
|------|------:|
| a | 1 |

```python
def f():
    return "x"
```

---
Last words."""


class Shown(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.selected: list[int | None] = []

    def compose(self) -> ComposeResult:
        yield Transcript()

    def on_transcript_selected(self, event: Transcript.Selected) -> None:
        self.selected.append(event.key)

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)


def pair(number: int, answer: str = "") -> list[Entry]:
    text = (
        answer or f"Answer {number} begins. " + "More words follow here. " * 12 + f"End {number}."
    )
    return [
        Entry(2 * number, "user", "You", f"Question {number}?"),
        Entry(2 * number + 1, "assistant", "model", text, f"note {number}"),
    ]


def many(count: int) -> list[Entry]:
    return [entry for number in range(count) for entry in pair(number)]


def lines(app: App[Any]) -> list[str]:
    """The rows without the scroll bar."""
    return [line[:-1].rstrip() for line in screen_text(app).splitlines()]


async def begun(pilot: Pilot[Any], entries: list[Entry]) -> Transcript:
    transcript: Transcript = pilot.app.query_one(Transcript)
    transcript.focus()
    transcript.show(entries)
    await pilot.pause()
    return transcript


def rows_whole(text: str, width: int = 60) -> list[Row]:
    _, blocks = Splitter(markdown=True).feed(text)
    return [row for block in blocks for row in rows_of(block, width)]


def rows_streamed(text: str, pieces: list[int], width: int = 60) -> list[Row]:
    splitter = Splitter(markdown=True)
    known: list[Any] = []
    at = turn = 0
    while at < len(text):
        size = pieces[turn % len(pieces)]
        kept, blocks = splitter.feed(text[at : at + size])
        known[kept:] = blocks
        at, turn = at + size, turn + 1
    return [row for block in known for row in rows_of(block, width)]


def plain(rows: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row.parts).rstrip() for row in rows]


# Markdown

MARKDOWN = st.lists(
    st.sampled_from(
        ["a", "b c", "\n", "\n\n", "- ", "1. ", "2) ", "   ", "    ", "> ", "# ", "```", "```py\n",
         "~~~\n", "|a|b|\n", "|-|-|\n", "---", "***", "**", "`", "*", "\t", "=", "[x](y)", "<b>",
         "\r\n", "é", "漢字", "\x1b[1m", "&lt;"]
    ),
    max_size=60,
).map("".join)  # fmt: skip
PIECES = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@given(MARKDOWN, PIECES)
@settings(max_examples=400, deadline=None)
def test_an_answer_in_pieces_looks_like_the_whole(text: str, pieces: list[int]) -> None:
    assert rows_streamed(text, pieces) == rows_whole(text)


@pytest.mark.parametrize(
    "unit",
    ["word ", "word\n", "- item\n", "- item\n  - nested\n", "| a | b |\n", "> quote\n", "x",
     "code line\n", "漢字"],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "```\n", "| h | i |\n|---|---|\n", "- x\n"])
def test_a_block_without_end_is_cut_alike_in_pieces(start: str, unit: str) -> None:
    text = start + unit * (3 * LONGEST // len(unit))
    chance = random.Random(7)
    pieces = [chance.randint(1, 3_000) for _ in range(50)]
    assert rows_streamed(text, pieces) == rows_whole(text)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"])), st.integers(1, 40)
)
@settings(deadline=None)
def test_no_row_is_wider_than_the_view_and_no_letter_is_lost(text: str, width: int) -> None:
    _, blocks = Splitter(markdown=False).feed(text)
    rows = [row for block in blocks for row in rows_of(block, width)]
    widest = max((size_of(character) for character in text), default=0)
    assert all(sum(size_of(part) for part, _ in row.parts) <= max(width, widest) for row in rows)


def test_what_markdown_looks_like() -> None:
    assert plain(rows_whole(ANSWER, 30)) == [
        "Title",
        "",
        "Some bold and code.",
        "",
        " 1. first",
        "     ◦ nested",
        " 2. second",
        "",
        "▌ quoted",
        "",
        "name │ value",
        "─────┼──────",
        "a    │     1",
        "",
        "│ python",
        "│ def f():",
        '│     return "x"',
        "",
        "─" * 30,
        "",
        "Last words.",
    ]


def test_nothing_to_click_to_load_or_to_hide() -> None:
    text = (
        "[a](http://x) ![b](y.png) <http://z> <b>c</b> <!-- d --> [bold]e[/] [@click=app.quit]f[/]"
    )
    assert plain(rows_whole(text, 200)) == [text]
    assert plain(rows_whole("[a]: http://x\n\n&#x202e;", 60)) == ["[a]: http://x", "", "&#x202e;"]


@pytest.mark.parametrize(
    "text",
    [">" * 5_000 + " deep", "- " * 5_000 + "deep", "[" * 5_000 + "deep", "*" * 5_000 + "deep",
     "".join(" " * depth + "- x\n" for depth in range(300)) + "\ndeep"],
)  # fmt: skip
def test_enormous_nesting_hides_nothing(text: str) -> None:
    shown = "".join(plain(rows_whole(text)))
    assert shown.replace(" ", "").endswith("deep")
    assert shown.count(">") == text.count(">")


def test_long_code_goes_on_behind_a_broken_bar() -> None:
    assert plain(rows_whole("```\n" + "x" * 25 + "\n```", 12)) == [
        "│ " + "x" * 10,
        "┆ " + "x" * 10,
        "┆ " + "x" * 5,
    ]


def test_wide_tables_shrink_and_then_become_records() -> None:
    table = "| one | two |\n|---|---|\n| " + "word " * 8 + "| x |"
    assert all(len(row) <= 24 for row in plain(rows_whole(table, 24)))
    assert plain(rows_whole("|a|b|c|\n|-|-|-|\n|1|2|3|", 8)) == ["a: 1", "b: 2", "c: 3"]


# The view


async def test_it_follows_what_comes_and_equals_the_whole_in_the_end() -> None:
    app = Shown()
    async with app.run_test(size=(60, 24)) as pilot:
        transcript = await begun(pilot, [Entry(1, "assistant", "model", "")])
        for at in range(0, len(ANSWER), 3):
            transcript.write(1, ANSWER[at : at + 3])
            await pilot.pause(0.001)
        transcript.finish(1, "done")
        await until_shown(pilot, "Last words.", "done")
        assert transcript.following
        streamed = lines(app)
        transcript.show([Entry(1, "assistant", "model", ANSWER, "done")])
        await pilot.pause()
        assert lines(app) == streamed
        assert transcript.text_of(1) == ANSWER
        assert transcript.code_blocks(1) == ['def f():\n    return "x"\n']


async def test_a_reader_who_scrolled_up_is_left_alone() -> None:
    app = Shown()
    async with app.run_test(size=(60, 24)) as pilot:
        transcript = await begun(pilot, many(30))
        assert "End 29." in screen_text(app)
        await pilot.press("pageup", "k")
        await pilot.pause()
        before = lines(app)
        transcript.write(59, "\n\nmore\n\nand more")
        transcript.flush()
        await until_shown(pilot, "4 new lines ↓ End")
        assert lines(app)[:-1] == before[:-1]
        transcript.finish(59, "finished", text="All of it is other now.")
        transcript.add(Entry(60, "user", "You", "One more"))
        await pilot.pause()
        assert lines(app)[:-1] == before[:-1]
        assert not transcript.following
        await pilot.press("end")
        await until_shown(pilot, "One more")
        assert transcript.following
        assert "new line" not in screen_text(app)


async def test_a_reader_inside_the_answer_that_comes_is_left_alone() -> None:
    app = Shown()
    text = "".join(f"- item {number} " + "w " * (number % 40) + "\n" for number in range(60))
    async with app.run_test(size=(60, 24)) as pilot:
        transcript = await begun(pilot, [Entry(1, "assistant", "model", text)])
        await pilot.press("pageup")
        await pilot.pause()
        before = lines(app)
        for number in range(40):
            transcript.write(1, f"- later {number}\n  - and\n")
            transcript.flush()
            await pilot.pause()
            assert lines(app)[:-1] == before[:-1]


async def test_scrolling_all_the_way_up_shows_every_line_once() -> None:
    app = Shown()
    async with app.run_test(size=(50, 20)) as pilot:
        transcript = await begun(pilot, many(6))
        seen: list[str] = []
        while transcript.scroll_y > 0:
            await pilot.press("k")
            await pilot.pause()
            seen.append(lines(app)[0])
        text = "\n".join(reversed(seen))
        positions = [text.index(f"Answer {number} begins") for number in range(5)]
        assert positions == sorted(positions)
        assert all(text.count(f"End {number}.") == 1 for number in range(4))


@pytest.mark.parametrize("keys", [["k"], ["pageup"], ["pageup", "pageup", "j"], ["b", "k", "k"]])
async def test_a_step_moves_the_text_by_exactly_that(keys: list[str]) -> None:
    app = Shown()
    # Estimates are far off for such text.
    answers = [pair(number, "| a | b |\n|---|---|\n" + "| x | y |\n" * 9) for number in range(40)]
    entries = [entry for both in answers for entry in both]
    async with app.run_test(size=(60, 24)) as pilot:
        await begun(pilot, entries)
        for _ in range(12):
            for key in keys:
                before = lines(app)
                await pilot.press(key)
                await pilot.pause()
                after = lines(app)
                step = {"k": 1, "j": -1, "pageup": 23, "b": 23}[key]
                if step > 0:
                    assert after[step:] == before[: len(before) - step]
                else:
                    assert after[:step] == before[-step:]


async def test_another_size_keeps_the_first_line() -> None:
    app = Shown()
    words = " ".join(f"w{number}" for number in range(3_000))
    async with app.run_test(size=(80, 24)) as pilot:
        transcript = await begun(pilot, [*many(20), Entry(99, "assistant", "model", words)])
        for _ in range(4):
            await pilot.press("pageup")
        await pilot.pause()
        first = lines(app)[0].split()[0]
        for width in (50, 110, 80):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert first in lines(app)[0].split()
            first = lines(app)[0].split()[0]
        await pilot.press("G")
        await until_shown(pilot, "w2999")
        await pilot.resize_terminal(40, 30)
        await until_shown(pilot, "w2999")
        assert transcript.following


async def test_selecting_messages_brings_them_into_view() -> None:
    app = Shown()
    async with app.run_test(size=(60, 24)) as pilot:
        transcript = await begun(
            pilot, [*many(10), Entry(90, "rule", "older ones are dropped", "")]
        )
        await pilot.press("K")
        assert transcript.selected == 19
        assert any(line.startswith("▌ Answer 9 begins") for line in lines(app))
        for _ in range(10):
            await pilot.press("K")
        await pilot.pause()
        assert transcript.selected == 9
        assert "▌ Answer 4 begins" in "\n".join(lines(app))
        await pilot.press("J")
        await pilot.pause()
        assert transcript.selected == 10
        assert app.selected[-1] == 10
        row = next(at for at, line in enumerate(lines(app)) if "Answer 4 begins" in line)
        await pilot.click(Transcript, offset=Offset(10, row))
        assert transcript.selected == 9
        transcript.replace_from(9, [Entry(500, "assistant", "model", "other", branch=(2, 2))])
        await until_shown(pilot, "other", "model  2/2")
        assert transcript.selected is None
        assert transcript.text_of(500) == "other"
        with pytest.raises(KeyError):
            transcript.text_of(10)
        transcript.clear()
        await until_gone(pilot, "other")


async def test_colours_follow_the_theme() -> None:
    app = Shown()
    async with app.run_test(size=(60, 24)) as pilot:
        transcript = await begun(pilot, pair(1, ANSWER))
        dark = [segment.style for segment in transcript.render_line(5)]
        app.theme = "textual-light"
        await until(
            pilot,
            lambda: [segment.style for segment in transcript.render_line(5)] != dark,
            "other colours",
        )
        backgrounds = {
            segment.style.bgcolor.get_truecolor().red
            for y in range(24)
            for segment in transcript.render_line(y)
            if segment.style is not None and segment.style.bgcolor is not None
        }
        assert min(backgrounds) > 150


# Hostile text

HOSTILE = (
    "\x1b]0;owned\x07 \x1b]2;owned\x1b\\ \x1b]52;c;b3duZWQ=\x07 \x1b]8;;http://owned\x07link\x1b]8;;\x07 "
    "\x1b[77;33H \x1b[2J \x1b[?1049l \x1bc \x1bP1;q\x1b\\ \x9b31m \x9d0;owned\x9c \x08\x7f\x00 "
    "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero [bold]markup[/] [@click=app.quit]go[/] "
    "[link](http://owned) ![image](http://owned/x.png) <script>x</script> <!-- comment --> "
    "&#x1b;]0;owned&#7; \ttab 漢字 e\u0301 \U0001f469\u200d\U0001f4bb \ud800 `\x1b]0;owned\x07`"
)


def test_hostile_text_reaches_the_terminal_as_text(tmp_path: Path) -> None:
    file = tmp_path / "hostile"
    code = f"```py\x1b]0;owned\x07\n{HOSTILE}\n```\n\n| {HOSTILE} | b |\n|---|---|\n| c | d |\n"
    file.write_bytes(f"{HOSTILE}\n\n{code}".encode("utf-8", "surrogatepass"))
    root = Path(__file__).parents[2]
    script = root / "tests" / "app" / "conversation_app.py"
    terminal = Terminal(
        [sys.executable, str(script), str(file)], environ={"PYTHONPATH": str(root)}, cwd=str(root)
    )
    try:
        terminal.wait_for("THE END")
        for _ in range(12):
            terminal.send("b")
            terminal.read(0.2)
        terminal.wait_for("You .*owned")
        terminal.send("\x11")
        terminal.wait_end()
    finally:
        terminal.close()
    # The driver itself sets the shape of the pointer.
    written = re.sub(rb"\x1b\]22;[a-z-]*\x07", b"", bytes(terminal.written))
    assert b"owned" in written
    assert b"[bold]markup[/] [@click=app.quit]go[/]" in written
    assert b"![image](http://owned/x.png)" in written
    for sequence in (
        b"\x1b]0;owned", b"\x1b]2;owned", b"\x1b]52", b"\x1b]8", b"\x1b[77;33H", b"\x1bc", b"\x1bP1",
        b"\x07", b"\x08", b"\x7f", b"\x00",
    ):  # fmt: skip
        assert sequence not in written, sequence
    shown = written.decode("utf-8", "replace")
    assert not set(shown) & set("\u202e\u202c\u2066\u2069\u200b\x9b\x9c\x9d")


async def test_a_line_of_a_megabyte_is_shown_and_can_be_scrolled() -> None:
    app = Shown()
    async with app.run_test(size=(60, 24)) as pilot:
        line = "x" * 1_000_100
        transcript = await begun(
            pilot,
            [Entry(1, "user", "You", line + "!"), Entry(2, "assistant", "model", line + "!")],
        )
        assert any(row.endswith("x!") for row in lines(app))
        await pilot.press("pageup", "K", "g", "pagedown")
        await pilot.pause()
        assert lines(app)[5] == "  " + "x" * 56
        assert transcript.text_of(1) == line + "!"


# The mouse


async def drag(pilot: Pilot[Any], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.mouse_down(Transcript, offset=Offset(*start))
    await pilot.hover(Transcript, offset=Offset(*end))
    await pilot.mouse_up(Transcript, offset=Offset(*end))
    await pilot.pause()


async def test_text_chosen_with_the_mouse_is_copied_without_its_layout() -> None:
    app = Shown()
    words = " ".join(f"word{number}" for number in range(20))
    answer = f"{words}\n\n```python\nvalue = {'x' * 60}\nlast\n```\n\n> quoted **bold**"
    async with app.run_test(size=(50, 30)) as pilot:
        transcript = await begun(
            pilot, [Entry(1, "assistant", "model", answer), Entry(2, "user", "You", "The end")]
        )
        rows = lines(app)
        top = next(at for at, line in enumerate(rows) if "word0" in line)
        bottom = next(at for at, line in enumerate(rows) if "quoted" in line)
        # From the "word1" of the first row to the "bold" of the quote.
        await drag(pilot, (rows[top].index("word1 "), top), (rows[bottom].index("bold"), bottom))
        assert app.screen.get_selected_text() == (
            f"{words.removeprefix('word0 ')}\n\nvalue = {'x' * 60}\nlast\n\nquoted b"
        )
        assert transcript.selected is None
        # New text moves nothing of it.
        chosen = app.screen.get_selected_text()
        transcript.write(2, " and more\n" * 40)
        transcript.flush()
        await pilot.pause()
        assert app.screen.get_selected_text() == chosen
        await pilot.resize_terminal(70, 30)
        await pilot.pause()
        assert not app.screen.get_selected_text()
