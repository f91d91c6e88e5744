"""What is said stays: the history's file, its search, and several programs that use it."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.promptness import require_prompt
from torbiz_tui.environments.processes import start_mark
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference import history as history_module
from torbiz_tui.inference import history_schema
from torbiz_tui.inference.conversations import Conversation, Turn, messages_for, title_of
from torbiz_tui.inference.events import AnswerDone, GenerateOptions, Hop, Route
from torbiz_tui.inference.history import History
from torbiz_tui.inference.history_schema import UPGRADES, open_database

DONE = AnswerDone("stop", 10, 4, 6, 0.5, 12.0, Route(8, (Hop(0, 8, "QmPeer", "alice"),)))
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "history.db"


@pytest.fixture
async def history(file: Path) -> AsyncIterator[History]:
    history = History.open(file)
    yield history
    await history.close()


async def say(history: History, conversation: Conversation, question: str, answer: str) -> Turn:
    """Add a question and its whole answer below what is there."""
    now = await history.load(conversation.id)
    asked = await history.add_question(now.id, now.turns[-1].id if now.turns else None, question)
    answered = await history.begin_answer(now.id, asked.id, "demo")
    assert await history.finish(answered.id, DONE, content=answer)
    return answered


async def code_of(history: History) -> str:
    """The error that the list of conversations gives."""
    with pytest.raises(TorbizError) as caught:
        await history.conversations()
    assert caught.value.remedy
    return caught.value.code


# The file.


async def test_nothing_is_made_before_it_is_needed(file: Path) -> None:
    history = History.open(file)
    await history.close()
    assert not file.parent.exists()


def test_importing_it_does_not_load_sqlite() -> None:
    code = "import sys, torbiz_tui.inference.chat; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT).returncode == 0


async def test_the_file_is_for_its_owner_alone(history: History, file: Path) -> None:
    old = os.umask(0)
    try:
        await history.create("demo")
    finally:
        os.umask(old)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    assert modes == dict.fromkeys(("history.db", "history.db-wal", "history.db-shm"), 0o600)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_file_of_a_newer_program_is_left_alone(history: History, file: Path) -> None:
    await history.create("demo")
    await history.close()
    with sqlite3.connect(file) as db:
        db.execute(f"PRAGMA user_version = {len(UPGRADES) + 1}")
    before = file.read_bytes()
    newer = History.open(file)
    assert await code_of(newer) == "history_newer"
    await newer.close()
    assert file.read_bytes() == before


async def test_a_database_of_another_program_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE turns (id)")
    before = file.read_bytes()
    history = History.open(file)
    assert await code_of(history) == "history_foreign"
    await history.close()
    assert file.read_bytes() == before


async def test_an_older_file_is_upgraded_with_what_is_in_it(
    history: History, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await history.create("demo", title="kept")
    await say(history, conversation, "q", "a")
    await history.close()
    step = ("ALTER TABLE turns ADD COLUMN extra TEXT NOT NULL DEFAULT 'new'",)
    monkeypatch.setattr(history_schema, "UPGRADES", (*UPGRADES, step))
    upgraded = History.open(file)
    assert (await upgraded.conversations())[0].title == "kept"
    await upgraded.close()
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(UPGRADES) + 1,)
        assert db.execute("SELECT DISTINCT extra FROM turns").fetchall() == [("new",)]


async def test_where_a_conversation_was_asked_is_kept_also_from_an_older_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(history_schema, "UPGRADES", UPGRADES[:1])
        db = open_database(file)
        for swarm in ("local, no swarm", "public"):
            db.execute(
                "INSERT INTO conversations (title, model, swarm, system_prompt, options,"
                " created_at, updated_at) VALUES ('', 'm', ?, '', '{}', 1, 1)",
                (swarm,),
            )
        db.close()
    upgraded = History.open(file)
    assert [(await upgraded.load(number)).local for number in (1, 2)] == [True, False]
    await upgraded.set_settings(2, local=True)
    await upgraded.close()
    again = History.open(file)
    assert (await again.load(2)).local
    await again.close()


async def test_an_upgrade_that_fails_changes_nothing(
    history: History, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history.create("demo")
    await history.close()
    step = ("ALTER TABLE turns ADD COLUMN extra TEXT", "ALTER TABLE nothing ADD COLUMN extra TEXT")
    monkeypatch.setattr(history_schema, "UPGRADES", (*UPGRADES, step))
    broken = History.open(file)
    assert await code_of(broken) == "history_unavailable"
    await broken.close()
    monkeypatch.undo()
    again = History.open(file)
    assert len(await again.conversations()) == 1
    await again.close()
    with sqlite3.connect(file) as db:
        assert "extra" not in {row[1] for row in db.execute("PRAGMA table_info(turns)")}


async def test_a_page_that_is_damaged_later_is_told(history: History, file: Path) -> None:
    conversation = await history.create("demo")
    for number in range(40):
        await say(history, conversation, f"question {number}", "words " * 500)
    await history.close()
    with file.open("r+b") as stream:
        stream.seek(4096 * 3)
        stream.write(b"\xff" * (file.stat().st_size - 4096 * 3))
    damaged = History.open(file)
    with pytest.raises(TorbizError) as caught:
        await damaged.load(conversation.id)
    assert caught.value.code == "history_damaged"
    # It is moved only when the person asks for it, with all that is in it.
    size = file.stat().st_size
    aside = await damaged.set_aside()
    assert aside.stat().st_size == size
    assert await damaged.conversations() == []
    await damaged.close()


async def test_a_folder_in_its_place_and_a_home_that_cannot_be_made(file: Path) -> None:
    file.mkdir(parents=True)
    history = History.open(file)
    assert await code_of(history) == "history_unavailable"
    await history.close()
    beneath = History.open(Path("/proc/no/history.db"))
    assert await code_of(beneath) == "history_unavailable"
    await beneath.close()


async def test_a_file_that_is_held_is_told_and_the_loop_goes_on(
    history: History, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_schema, "_BUSY_TIMEOUT_S", 0.5)
    await history.create("demo")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    # The connection that is open waits as long as it was told when it was opened.
    await history.close()
    history = History.open(file)
    ticking = asyncio.create_task(tick())
    with pytest.raises(TorbizError) as caught:
        await history.create("demo")
    ticking.cancel()
    assert caught.value.code == "history_busy"
    assert ticks > 10
    # Reading goes on meanwhile, and writing when the file is free.
    assert len(await history.conversations()) == 1
    holder.execute("ROLLBACK")
    await history.create("demo")
    assert len(await history.conversations()) == 2
    await history.close()


async def test_after_closing_nothing_is_taken(history: History) -> None:
    await history.create("demo")
    await history.close()
    assert await code_of_closed(history) == "history_closed"


async def code_of_closed(history: History) -> str:
    with pytest.raises(TorbizError) as caught:
        await history.conversations()
    return caught.value.code


# Several programs.

WRITING_CHILD = """
import asyncio, sys
from pathlib import Path
from torbiz_tui.inference.events import AnswerDone
from torbiz_tui.inference.history import History

async def main():
    history = History.open(Path(sys.argv[1]))
    for number in range(25):
        conversation = await history.create("demo")
        asked = await history.add_question(conversation.id, None, f"{sys.argv[2]} {number}")
        answer = await history.begin_answer(conversation.id, asked.id, "demo")
        for piece in range(10):
            history.append(answer.id, f"{piece} ")
        await history.finish(answer.id, AnswerDone("stop", 1, 0, 10, 0.1, 1.0))
    await history.close()

asyncio.run(main())
"""


async def test_programs_that_begin_and_write_at_once_lose_nothing(file: Path) -> None:
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITING_CHILD, file, f"child{n}", cwd=CHECKOUT
        )
        for n in range(4)
    ]
    async with asyncio.timeout(60):
        assert [await child.wait() for child in children] == [0, 0, 0, 0]
    history = History.open(file)
    titles = {summary.title for summary in await history.conversations()}
    assert titles == {f"child{n} {number}" for n in range(4) for number in range(25)}
    for summary in await history.conversations(limit=10):
        turns = (await history.load(summary.id)).turns
        assert turns[-1].content == "0 1 2 3 4 5 6 7 8 9 "
    await history.close()


async def test_settings_that_two_programs_change_are_both_kept(file: Path) -> None:
    one, two = History.open(file), History.open(file)
    conversation = await one.create("demo")
    await one.set_settings(conversation.id, system_prompt="Be brief.")
    await two.set_settings(conversation.id, options=GenerateOptions(64, stop=("\n\n",)))
    await two.rename(conversation.id, "named")
    kept = await one.load(conversation.id)
    assert (kept.title, kept.system_prompt, kept.model) == ("named", "Be brief.", "demo")
    assert kept.options == GenerateOptions(64, stop=("\n\n",))
    for each in (one, two):
        await each.close()


# Pieces.


async def test_a_piece_is_on_the_disk_a_moment_after_it_came(history: History, file: Path) -> None:
    conversation = await history.create("demo")
    asked = await history.add_question(conversation.id, None, "q")
    answer = await history.begin_answer(conversation.id, asked.id, "demo")
    other = sqlite3.connect(file)
    number = itertools.count()

    def on_the_disk() -> float:
        piece = f"piece {next(number)}"
        began = time.monotonic()
        history.append(answer.id, piece)
        # Nothing is awaited: the thread does it alone, even while the loop is held up.
        while not other.execute("SELECT 1 FROM pieces WHERE text = ?", (piece,)).fetchall():
            assert time.monotonic() - began < 30
            time.sleep(0.002)
        return time.monotonic() - began

    require_prompt(on_the_disk, 1)
    other.close()


async def test_many_pieces_cost_few_transactions_and_come_back_whole(
    history: History, file: Path
) -> None:
    conversation = await history.create("demo")
    asked = await history.add_question(conversation.id, None, "q")
    answer = await history.begin_answer(conversation.id, asked.id, "demo")
    pieces = [f"{number} " for number in range(20_000)]
    for number, piece in enumerate(pieces):
        history.append(answer.id, piece)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await history.flush()
    with sqlite3.connect(file) as other:
        (rows,) = other.execute("SELECT count(*) FROM pieces").fetchone()
    assert rows < 2000
    streaming = (await history.load(conversation.id)).turns[-1]
    assert (streaming.content, streaming.state) == ("".join(pieces), "streaming")
    await history.finish(answer.id, DONE)
    finished = (await history.load(conversation.id)).turns[-1]
    assert (finished.content, finished.state) == ("".join(pieces), "complete")
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT count(*) FROM pieces").fetchone() == (0,)


async def test_closing_writes_what_waits(file: Path) -> None:
    history = History.open(file)
    conversation = await history.create("demo")
    asked = await history.add_question(conversation.id, None, "q")
    answer = await history.begin_answer(conversation.id, asked.id, "demo")
    history.append(answer.id, "the last word")
    await history.close()
    again = History.open(file)
    turn = (await again.load(conversation.id)).turns[-1]
    assert (turn.content, turn.state) == ("the last word", "interrupted")
    await again.close()


async def test_what_was_interrupted_is_read_while_nothing_can_be_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History.open(file)
    conversation = await history.create("demo")
    asked = await history.add_question(conversation.id, None, "q")
    answer = await history.begin_answer(conversation.id, asked.id, "demo")
    history.append(answer.id, "half")
    await history.close()
    monkeypatch.setattr(history_schema, "_BUSY_TIMEOUT_S", 0.1)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    again = History.open(file)
    turn = (await again.load(conversation.id)).turns[-1]
    assert (turn.content, turn.state) == ("half", "interrupted")
    holder.close()
    await again.close()


async def test_an_empty_answer_of_a_program_that_died_leaves_its_question(file: Path) -> None:
    history = History.open(file)
    conversation = await history.create("demo")
    asked = await history.add_question(conversation.id, None, "q")
    await history.begin_answer(conversation.id, asked.id, "demo")
    await history.close()
    again = History.open(file)
    turns = (await again.load(conversation.id)).turns
    assert [(turn.content, turn.state) for turn in turns] == [("q", "interrupted")]
    await again.close()


async def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(
    history: History, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await history.create("demo")
    asked = await history.add_question(conversation.id, None, "q")
    answer = await history.begin_answer(conversation.id, asked.id, "demo")
    history.append(answer.id, "half")
    await history.flush()
    with sqlite3.connect(file) as other:
        other.execute("UPDATE turns SET owner = '1 another-boot:123 1' WHERE id = ?", (answer.id,))
    assert (await history.load(conversation.id)).turns[-1].state == "interrupted"
    mark = start_mark(1)
    with sqlite3.connect(file) as other:
        other.execute("UPDATE turns SET owner = ? WHERE id = ?", (f"1 {mark} 1", answer.id))
    assert (await history.load(conversation.id)).turns[-1].state == "streaming"


# Lists.


async def test_a_deleted_conversation_can_be_restored_until_it_is_purged(
    history: History, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await history.create("demo")
    await say(history, conversation, "where are you", "here")
    other = await history.create("demo")
    await say(history, other, "another", "one")
    await history.delete(conversation.id)
    assert [each.id for each in await history.conversations()] == [other.id]
    assert await history.conversations("where") == []
    assert await history.inputs() == ["another"]
    deleted = await history.conversations(deleted=True)
    assert [each.title for each in deleted] == ["where are you"]
    await history.restore(conversation.id)
    assert {each.id for each in await history.conversations()} == {conversation.id, other.id}

    await history.delete(conversation.id)
    assert await history.purge() == 0
    await history.close()
    long_ago = time.time() - 31 * 24 * 3600
    with sqlite3.connect(file) as db:
        db.execute("UPDATE conversations SET deleted_at = ? WHERE deleted_at > 0", (long_ago,))
    # The next opening purges by itself.
    monkeypatch.setattr(history_module, "_HOUSEKEEPING_AFTER_S", 0.0)
    again = History.open(file)
    async with asyncio.timeout(10):
        while await again.conversations(deleted=True):
            await asyncio.sleep(0.01)
    with pytest.raises(TorbizError) as caught:
        await again.load(conversation.id)
    assert caught.value.code == "no_conversation"
    await again.close()
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM turns").fetchone() == (2,)
        found = "SELECT rowid FROM turns_index WHERE turns_index MATCH 'where'"
        assert db.execute(found).fetchall() == []


async def test_a_long_conversation_is_erased_whole(history: History, file: Path) -> None:
    conversation = await history.create("demo")
    await history.close()
    fill(file, conversation.id, 3000)
    again = History.open(file)
    assert len((await again.load(conversation.id)).turns) == 3000
    await again.erase(conversation.id)
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM turns").fetchone() == (0,)
    await again.close()


async def test_conversations_in_which_nothing_was_asked_do_not_stay(
    history: History, file: Path
) -> None:
    await history.create("demo")
    assert await history.purge() == 0
    with sqlite3.connect(file) as db:
        db.execute("UPDATE conversations SET updated_at = updated_at - 100000")
    assert await history.purge() == 1


async def test_the_last_conversation_and_the_earlier_questions(history: History) -> None:
    assert await history.latest() is None
    first = await history.create("demo")
    await say(history, first, "one", "a")
    second = await history.create("demo")
    await say(history, second, "two", "b")
    await history.create("demo")
    await say(history, first, "one", "again")
    await say(history, first, "three", "c")
    latest = await history.latest()
    assert latest is not None
    assert latest.id == first.id
    assert await history.inputs() == ["three", "one", "two"]
    assert await history.inputs(2) == ["three", "one"]
    listed = await history.conversations()
    assert [(each.id, each.turns) for each in listed if each.turns] == [
        (first.id, 6),
        (second.id, 2),
    ]


# Search.


async def test_search_finds_words_in_titles_and_messages(history: History) -> None:
    animals = await history.create("demo", title="Zoo")
    await say(history, animals, "Which bird swims?", "A penguin. " * 40 + "Also the CAF\u00c9 owl.")
    plants = await history.create("demo")
    await say(history, plants, "What is moss?", "A plant without roots.")

    async def found(words: str) -> list[int]:
        return [each.id for each in await history.conversations(words)]

    assert await found("peng") == [animals.id]
    assert await found("zoo") == [animals.id]
    assert await found("MOSS wha") == [plants.id]
    assert await found("bird moss") == []
    assert await found("  ") == [plants.id, animals.id]
    assert await found("???") == []
    # The beginning is enough for the last word only.
    assert await found("pen also") == []

    (hit,) = await history.conversations("cafe")
    assert [hit.snippet[first:end] for first, end in hit.snippet_matches] == ["CAF\u00c9"]
    assert hit.snippet.startswith("\u2026")
    assert hit.turn_id is not None
    (titled,) = await history.conversations("zoo")
    assert titled.title_matches == ((0, 3),)
    assert (titled.snippet, titled.turn_id) == ("", None)


async def test_search_finds_words_of_scripts_without_spaces(history: History) -> None:
    conversation = await history.create("demo")
    await say(history, conversation, "\u3053\u308c\u306f\u6f22\u5b57\u3067\u3059", "Yes, Kanji.")
    (hit,) = await history.conversations("\u6f22\u5b57")
    assert [hit.snippet[first:end] for first, end in hit.snippet_matches] == ["\u6f22\u5b57"]
    assert hit.title_matches
    assert await history.conversations("\u6f22\u5b57 kanji") == []
    assert await history.conversations("\u5b57\u6f22") == []


async def test_search_follows_changes(history: History) -> None:
    conversation = await history.create("demo")
    await say(history, conversation, "first question", "an answer")
    await history.rename(conversation.id, "holidays")
    assert len(await history.conversations("holi")) == 1
    await history.rename(conversation.id, "work")
    assert await history.conversations("holi") == []
    assert len(await history.conversations("answer")) == 1


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with one conversation to search in."""
    file = tmp_path_factory.mktemp("searched") / "history.db"

    async def make() -> None:
        history = History.open(file)
        conversation = await history.create("demo")
        await say(
            history, conversation, 'NEAR "AND" col:umn *', "\u00e9t\u00e9 \u6f22\u5b57 \x00 x"
        )
        await history.close()

    asyncio.run(make())
    return file


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                '"',
                "'",
                "*",
                "^",
                "(",
                ")",
                "AND",
                "OR",
                "NOT",
                "NEAR(",
                "{a b}:",
                "-",
                "+",
                "a",
                "_",
            ]
        ),
        max_size=30,
    ).map(" ".join),
    st.text(alphabet='a" *\x00\ud800\u0301\u6f22', min_size=1, max_size=40).map(
        lambda text: text * (10_000 // len(text))
    ),
)


@given(query=HOSTILE)
@settings(max_examples=150, deadline=None)
def test_no_search_is_an_error(query: str, searched: Path) -> None:
    async def search() -> None:
        history = History.open(searched)
        for found in await history.conversations(query):
            for first, end in found.snippet_matches:
                assert 0 <= first < end <= len(found.snippet)
        await history.close()

    asyncio.run(search())


@given(content=st.text(max_size=200), at=st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_a_word_of_a_message_is_found(content: str, at: int, searched: Path) -> None:
    words = [word for word in content.split() if word.isascii() and word.isalnum()]

    async def search() -> None:
        history = History.open(searched)
        conversation = await history.create("demo")
        await say(history, conversation, content, content)
        if words:
            found = await history.conversations(words[at % len(words)])
            hit = next(each for each in found if each.id == conversation.id)
            assert hit.snippet_matches
        await history.erase(conversation.id)
        await history.close()

    asyncio.run(search())


# Size.


def fill(file: Path, conversation_id: int, turns: int) -> None:
    """Put a long conversation into the file."""
    db = open_database(file)
    db.execute("BEGIN")
    parent = None
    for number in range(turns):
        role = "assistant" if number % 2 else "user"
        parent = db.execute(
            "INSERT INTO turns (conversation_id, parent_id, role, state, created_at, content)"
            " VALUES (?, ?, ?, 'complete', 0, ?)",
            (conversation_id, parent, role, f"message {number} " + "of a long conversation " * 10),
        ).lastrowid
    db.execute("COMMIT")
    db.close()


async def best_of(times: int, work: object) -> float:
    assert callable(work)
    spans = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        spans.append(time.perf_counter() - began)
    return min(spans)


async def test_a_long_conversation_opens_in_an_instant(history: History, file: Path) -> None:
    conversation = await history.create("demo")
    fill(file, conversation.id, 5000)
    assert len((await history.load(conversation.id)).turns) == 5000
    # The limits are for a machine that is busy with other tests: alone it is a tenth of them.
    assert await best_of(5, lambda: history.load(conversation.id)) < 0.5


async def test_ten_thousand_conversations_are_listed_and_searched_in_an_instant(
    history: History, file: Path
) -> None:
    await history.create("demo")
    db = open_database(file)
    db.execute("BEGIN")
    for number in range(10_000):
        conversation_id = db.execute(
            "INSERT INTO conversations"
            " (title, model, swarm, system_prompt, options, created_at, updated_at)"
            " VALUES (?, 'demo', '', '', '{}', 0, ?)",
            (f"conversation {number}", number),
        ).lastrowid
        db.executemany(
            "INSERT INTO turns (conversation_id, role, state, created_at, content)"
            " VALUES (?, ?, 'complete', 0, ?)",
            [
                (conversation_id, role, f"the message w{number} " + "of common words " * 10)
                for role in ("user", "assistant") * 4
            ],
        )
    db.execute("COMMIT")
    db.close()
    limits = {
        "": 0.5,
        "w1234": 0.5,
        "common": 0.8,
        "w9": 0.8,
        "conversation 77": 0.5,
        "\u6f22": 0.8,
    }
    for words, limit in limits.items():
        assert bool(await history.conversations(words)) == words.isascii()
        span = await best_of(3, lambda words=words: history.conversations(words))
        assert span < limit, words


# What the model is told, and titles.


def spoken(*contents: tuple[str, str]) -> list[tuple[str, str]]:
    turns = [
        Turn(number, number - 1 or None, role, content)  # type: ignore[arg-type]
        for number, (role, content) in enumerate(contents, 1)
    ]
    return [(message.role, message.content) for message in messages_for("Be brief.", turns)]


def test_the_model_is_told_whole_pairs_only() -> None:
    system = ("system", "Be brief.")
    told = spoken(
        ("user", "q1"), ("assistant", ""), ("user", "q2"), ("assistant", "half"), ("user", "q3"),
        ("assistant", ""),
    )  # fmt: skip
    assert told == [system, ("user", "q2"), ("assistant", "half"), ("user", "q3")]
    assert messages_for(" \n", []) == []


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("  What\n\tis\r\nthis? ", "What is this?"),
        ("", ""),
        ("x" * 200, "x" * 59 + "\u2026"),
        ("word " * 30, "word word word word word word word word word word word\u2026"),
        ("\x1b]0;evil\x07 \u202etxt", "\u241b]0;evil\u2407 \u27e8U+202E\u27e9txt"),
    ],
)
def test_titles_are_one_safe_line(question: str, title: str) -> None:
    assert title_of(question) == title
    assert len(title_of(question)) <= 60
