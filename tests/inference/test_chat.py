"""Conversations that go on: what is asked, what is stored, and what is left when it breaks."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inference.fake_answers import ROUTE, FakeAnswers, done
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference import history_schema
from torbiz_tui.inference.chat import Chat, Said, StoreFailed, TurnsChanged
from torbiz_tui.inference.conversations import Conversation, Turn
from torbiz_tui.inference.events import AnswerDone, GenerateOptions, TokenReceived
from torbiz_tui.inference.history import History

DRAFT = Conversation(0, "", "demo")
BROKEN = TorbizError("The servers are gone.", why="Two of them.", remedy="Ask again.", code="gone")


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    history = History.open(tmp_path / "history.db")
    yield history
    await history.close()


async def all_of(said: AsyncIterator[Said]) -> list[Said]:
    return [event async for event in said]


def texts(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.content for turn in turns]


async def stored(history: History, chat: Chat) -> Conversation:
    return await history.load(chat.conversation.id)


async def test_a_question_and_its_answer_are_stored_with_all_that_is_known(
    history: History,
) -> None:
    service = FakeAnswers("A swarm", " is many", " machines.")
    options = GenerateOptions(temperature=0.5, seed=7, stop=("\n",))
    chat = Chat(service, history, Conversation(0, "", "demo", "", "Be brief.", options))
    events = await all_of(chat.send("What is a swarm?\nIn one line."))

    first = events[0]
    assert isinstance(first, TurnsChanged)
    assert [(turn.role, turn.content, turn.state) for turn in first.turns] == [
        ("user", "What is a swarm?\nIn one line.", "complete"),
        ("assistant", "", "streaming"),
    ]
    assert events[-1] == done()
    assert not any(isinstance(event, StoreFailed) for event in events)
    assert service.asked == [[("system", "Be brief."), ("user", "What is a swarm?\nIn one line.")]]
    assert service.options == [options]
    assert service.conversations == [str(chat.conversation.id)]

    again = await stored(history, chat)
    assert again.turns == chat.turns
    assert again.title == chat.conversation.title == "What is a swarm? In one line."
    answer = again.turns[-1]
    assert answer.content == "A swarm is many machines."
    assert (answer.state, answer.finish_reason, answer.model) == ("complete", "stop", "demo")
    assert (answer.prompt_tokens, answer.reused_tokens, answer.completion_tokens) == (12, 5, 3)
    assert (answer.first_token_s, answer.tokens_per_s, answer.route) == (0.25, 8.5, ROUTE)
    assert not chat.answering


async def test_the_end_is_stored_before_it_is_told(history: History) -> None:
    chat = Chat(FakeAnswers("yes"), history, DRAFT)
    async for event in chat.send("?"):
        if isinstance(event, AnswerDone):
            (answer,) = [t for t in (await stored(history, chat)).turns if t.role == "assistant"]
            assert (answer.content, answer.state) == ("yes", "complete")


async def test_the_next_question_is_told_what_was_said(history: History) -> None:
    service = FakeAnswers("one")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("first"))
    service.script = ("two",)
    await all_of(chat.send("second"))
    assert service.asked[-1] == [("user", "first"), ("assistant", "one"), ("user", "second")]
    resumed = await history.latest()
    assert resumed is not None
    other = Chat(service, history, resumed)
    await all_of(other.send("third"))
    assert [text for _, text in service.asked[-1]] == ["first", "one", "second", "two", "third"]


async def test_regenerate_and_edit_keep_what_was_there(history: History) -> None:
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q1"))
    service.script = ("a2",)
    await all_of(chat.send("q2"))
    service.script = ("a1b",)
    await all_of(chat.regenerate(chat.turns[1].id))
    assert texts(chat.turns) == ["q1", "a1b"]
    assert service.asked[-1] == [("user", "q1")]
    assert chat.turns[1].branch == (2, 2)

    service.script = ("a3",)
    await all_of(chat.edit(chat.turns[0].id, "q1 in other words"))
    assert texts(chat.turns) == ["q1 in other words", "a3"]
    assert chat.turns[0].branch == (2, 2)

    # Back on the old wording, the path goes on as it last did there.
    await chat.choose_branch(chat.turns[0].id, -1)
    assert texts(chat.turns) == ["q1", "a1b"]
    await chat.choose_branch(chat.turns[1].id, -1)
    assert texts(chat.turns) == ["q1", "a1", "q2", "a2"]
    assert await chat.choose_branch(chat.turns[1].id, -1) == chat.turns
    assert (await stored(history, chat)).turns == chat.turns


async def test_asking_for_another_answer_on_the_question_itself(history: History) -> None:
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q"))
    service.script = ("a2",)
    await all_of(chat.edit(chat.turns[0].id, "q"))
    assert texts(chat.turns) == ["q", "a2"]
    assert chat.turns[0].branch is None
    assert chat.turns[1].branch == (2, 2)
    with pytest.raises(TorbizError, match="Only a question"):
        await all_of(chat.edit(chat.turns[1].id, "not mine"))
    with pytest.raises(TorbizError, match="no message 999"):
        await all_of(chat.regenerate(999))


async def test_a_failed_answer_keeps_its_text(history: History) -> None:
    service = FakeAnswers("half an", " answ", BROKEN)
    chat = Chat(service, history, DRAFT)
    with pytest.raises(TorbizError, match="servers are gone"):
        await all_of(chat.send("q"))
    answer = (await stored(history, chat)).turns[-1]
    assert chat.turns[-1] == answer
    assert (answer.content, answer.state) == ("half an answ", "failed")
    assert answer.note == "The servers are gone. Two of them."
    assert not chat.answering
    service.script = ("whole",)
    await all_of(chat.regenerate(answer.id))
    assert texts(chat.turns) == ["q", "whole"]


async def test_a_question_without_a_word_of_an_answer_is_asked_again(history: History) -> None:
    missing = NotServedError("Nobody serves demo now.", missing=((4, 8),))
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q1"))
    service.script = (missing,)
    with pytest.raises(NotServedError):
        await all_of(chat.send("q2"))
    assert [(t.content, t.state) for t in chat.turns[-2:]] == [("a1", "complete"), ("q2", "failed")]
    assert chat.turns[-1].note == "Nobody serves demo now."
    assert (await stored(history, chat)).turns == chat.turns

    failed = chat.turns[-1].id
    service.script = ("a2",)
    await all_of(chat.send("q2"))
    assert texts(chat.turns) == ["q1", "a1", "q2", "a2"]
    assert chat.turns[2].id == failed
    assert chat.turns[2].state == "complete"
    assert (await stored(history, chat)).turns == chat.turns


async def test_another_question_takes_the_place_of_one_that_failed(history: History) -> None:
    service = FakeAnswers(BROKEN)
    chat = Chat(service, history, DRAFT)
    with pytest.raises(TorbizError):
        await all_of(chat.send("q1"))
    service.script = ("a",)
    await all_of(chat.send("other"))
    assert texts(chat.turns) == ["other", "a"]
    assert service.asked[-1] == [("user", "other")]
    await chat.choose_branch(chat.turns[0].id, -1)
    assert [(turn.content, turn.state) for turn in chat.turns] == [("q1", "failed")]


async def test_an_attempt_that_comes_to_nothing_leaves_the_answer_that_was_there(
    history: History,
) -> None:
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q1"))
    service.script = ("a1b",)
    await all_of(chat.regenerate(chat.turns[1].id))
    service.script = ("a2",)
    await chat.choose_branch(chat.turns[1].id, -1)
    await all_of(chat.send("q2"))
    before = chat.turns
    service.script = (BROKEN,)
    with pytest.raises(TorbizError):
        await all_of(chat.regenerate(before[1].id))
    assert chat.turns == before
    assert (await stored(history, chat)).turns == before


async def test_stop_keeps_what_has_come(history: History) -> None:
    service = FakeAnswers("one", " two", asyncio.Event(), "never")
    chat = Chat(service, history, DRAFT)
    async for event in chat.send("q"):
        if isinstance(event, TokenReceived) and event.text == " two":
            assert chat.answering
            await chat.stop()
    answer = (await stored(history, chat)).turns[-1]
    assert (answer.content, answer.state, answer.finish_reason) == (
        "one two",
        "complete",
        "cancelled",
    )
    assert answer.tokens_per_s == 8.5


async def test_stopping_before_the_first_word_leaves_the_question(history: History) -> None:
    service = FakeAnswers(asyncio.Event())
    chat = Chat(service, history, DRAFT)
    events: list[Said] = []
    async for event in chat.send("q"):
        events.append(event)
        if len(events) == 2:
            await chat.stop()
    assert isinstance(events[-2], AnswerDone)
    assert events[-1] == TurnsChanged(chat.turns)
    assert [(t.content, t.state, t.finish_reason) for t in chat.turns] == [
        ("q", "failed", "cancelled")
    ]
    assert (await stored(history, chat)).turns == chat.turns


async def test_leaving_early_cancels_and_stores(history: History) -> None:
    service = FakeAnswers("one", " two", asyncio.Event())
    chat = Chat(service, history, DRAFT)
    async with aclosing(chat.send("q")) as said:
        async for event in said:
            if isinstance(event, TokenReceived) and event.text == " two":
                break
    assert service.closed == 1
    assert not chat.answering
    answer = (await stored(history, chat)).turns[-1]
    assert (answer.content, answer.state, answer.finish_reason) == (
        "one two",
        "complete",
        "cancelled",
    )
    assert answer.prompt_tokens == 12


async def test_a_cancelled_task_stores_what_has_come(history: History) -> None:
    service = FakeAnswers("one", asyncio.Event())
    chat = Chat(service, history, DRAFT)
    came = asyncio.Event()

    async def receive() -> None:
        async for event in chat.send("q"):
            if isinstance(event, TokenReceived):
                came.set()

    receiving = asyncio.create_task(receive())
    await came.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert (await stored(history, chat)).turns[-1].content == "one"
    assert (await stored(history, chat)).turns[-1].finish_reason == "cancelled"


async def test_one_answer_at_a_time(history: History) -> None:
    service = FakeAnswers("one")
    chat = Chat(service, history, DRAFT)
    async for _ in chat.send("q"):
        with pytest.raises(TorbizError) as caught:
            await all_of(chat.send("too early"))
        assert caught.value.code == "busy"
        with pytest.raises(TorbizError):
            await chat.choose_branch(chat.turns[0].id, 1)
    assert texts(chat.turns) == ["q", "one"]


async def test_a_service_that_breaks_off_is_an_error(history: History) -> None:
    class Silent(FakeAnswers):
        async def ask(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
            yield TokenReceived("half")

    chat = Chat(Silent(), history, DRAFT)
    with pytest.raises(TorbizError, match="broke off"):
        await all_of(chat.send("q"))
    assert (await stored(history, chat)).turns[-1].state == "failed"


async def test_a_chat_takes_the_model_that_answers(history: History) -> None:
    service = FakeAnswers("one")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q"))
    service.model = "another"
    await all_of(chat.send("q2"))
    await chat.change(system_prompt="Be kind.", options=GenerateOptions(64))
    await chat.rename("Two\nmodels")
    kept = await stored(history, chat)
    assert (kept.model, kept.title, kept.system_prompt) == ("another", "Two models", "Be kind.")
    assert kept.options == GenerateOptions(64)
    assert [turn.model for turn in kept.turns] == ["", "demo", "", "another"]


# What cannot be stored.


def fill_up(folder: Path) -> Path:
    """Fill a small disk to the last byte."""
    filler = folder / "filler"
    with filler.open("wb") as stream:
        try:
            while True:
                stream.write(b"x" * 65536)
                stream.flush()
        except OSError:
            pass
    return filler


async def test_the_chat_goes_on_while_the_disk_is_full(small_disk: Path) -> None:
    history = History.open(small_disk / "history.db")
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q1"))
    filler = fill_up(small_disk)
    service.script = tuple("words of the second answer " * 400)
    events = await all_of(chat.send("q2 " * 5000))
    told = [event for event in events if isinstance(event, StoreFailed)]
    assert [event.error.code for event in told] == ["history_disk_full"]
    assert chat.store_failure is not None
    assert len(chat.turns[-1].content) == 400 * 27
    service.script = ("a3",)
    await all_of(chat.send("q3"))
    assert len(service.asked[-1]) == 5

    filler.unlink()
    service.script = ("a4",)
    events = await all_of(chat.send("q4"))
    assert not any(isinstance(event, StoreFailed) for event in events)
    assert chat.store_failure is None
    assert all(turn.id > 0 for turn in chat.turns)
    kept = await stored(history, chat)
    assert kept.turns == chat.turns
    assert len(kept.turns) == 8
    await history.close()


async def test_the_chat_goes_on_while_another_program_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_schema, "_BUSY_TIMEOUT_S", 0.2)
    history = History.open(tmp_path / "history.db")
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q1"))
    holder = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    freed = asyncio.Event()
    service.script = ("a", "2", freed, " and more")
    told = []
    async for event in chat.send("q2"):
        if isinstance(event, TokenReceived) and event.text == "a":
            # It takes hold of the file in the middle of the answer.
            holder.execute("BEGIN IMMEDIATE")
        elif isinstance(event, TokenReceived) and event.text == "2":
            while history.failure is None:
                await asyncio.sleep(0.01)
            freed.set()
        elif isinstance(event, StoreFailed):
            told.append(event.error.code)
            holder.execute("ROLLBACK")
    assert told == ["history_busy"]
    assert chat.store_failure is None
    assert (await stored(history, chat)).turns == chat.turns
    assert texts(chat.turns)[-1] == "a2 and more"
    await history.close()


async def test_a_damaged_history_is_told_once_and_the_chat_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    file.write_bytes(b"this is not a database" * 1000)
    before = file.read_bytes()
    history = History.open(file)
    service = FakeAnswers("a", "n", "s")
    chat = Chat(service, history, DRAFT)
    events = await all_of(chat.send("q1"))
    assert [e.error.code for e in events if isinstance(e, StoreFailed)] == ["history_damaged"]
    await all_of(chat.send("q2"))
    await all_of(chat.regenerate(chat.turns[-1].id))
    with pytest.raises(TorbizError):
        await all_of(chat.regenerate(12345))
    assert texts(chat.turns) == ["q1", "ans", "q2", "ans"]
    assert file.read_bytes() == before

    aside = await history.set_aside()
    assert aside.read_bytes() == before
    events = await all_of(chat.send("q3"))
    assert not any(isinstance(event, StoreFailed) for event in events)
    kept = await stored(history, chat)
    assert kept.turns == chat.turns
    assert texts(kept.turns) == ["q1", "ans", "q2", "ans", "q3", "ans"]
    assert kept.turns[3].branch == (2, 2)
    await history.close()


async def test_a_conversation_that_another_program_erased_is_stored_anew(
    history: History, tmp_path: Path
) -> None:
    service = FakeAnswers("a1")
    chat = Chat(service, history, DRAFT)
    await all_of(chat.send("q1"))
    old = chat.conversation.id
    await history.erase(old)
    await all_of(chat.send("q2"))
    assert chat.conversation.id not in (0, old)
    assert texts((await stored(history, chat)).turns) == ["q1", "a1", "q2", "a1"]

    # Also in the middle of an answer.
    gone = asyncio.Event()
    service.script = ("one", gone, " two")
    async for event in chat.send("q3"):
        if isinstance(event, TokenReceived) and event.text == "one":
            await history.erase(chat.conversation.id)
            gone.set()
    assert texts((await stored(history, chat)).turns)[-2:] == ["q3", "one two"]
    assert (await stored(history, chat)).turns == chat.turns

    # And when the file itself is taken away.
    (tmp_path / "history.db").unlink()
    service.script = ("a4",)
    await all_of(chat.send("q4"))
    assert texts((await stored(history, chat)).turns)[-2:] == ["q4", "a4"]


async def test_what_is_said_in_a_deleted_conversation_brings_it_back(history: History) -> None:
    chat = Chat(FakeAnswers("a"), history, DRAFT)
    await all_of(chat.send("q"))
    await history.delete(chat.conversation.id)
    await all_of(chat.send("still here"))
    assert [each.id for each in await history.conversations()] == [chat.conversation.id]


# A program that is killed.

STREAMING_CHILD = """
import asyncio, sys
from pathlib import Path
from tests.inference.fake_answers import FakeAnswers
from torbiz_tui.inference.chat import Chat
from torbiz_tui.inference.conversations import Conversation
from torbiz_tui.inference.events import TokenReceived
from torbiz_tui.inference.history import History

async def main():
    history = History.open(Path(sys.argv[1]))
    pieces = [f"<{n}>" for n in range(100_000)]
    chat = Chat(FakeAnswers(*pieces), history, Conversation(0, "", "demo"))
    count = 0
    async for event in chat.send("count"):
        if isinstance(event, TokenReceived):
            count += 1
            await asyncio.sleep(0.001)
            if count % 10 == 0:
                await history.flush()
                print(count, flush=True)

asyncio.run(main())
"""


def streaming_child(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STREAMING_CHILD, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def wait_until(child: subprocess.Popen[str], pieces: int) -> int:
    """The number of pieces that the child said are stored, at least so many."""
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= pieces:
            return int(line)
    raise AssertionError("the child has ended")


async def test_a_killed_program_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with streaming_child(file) as child:
        acknowledged = await asyncio.to_thread(wait_until, child, 200)
        child.kill()
    history = History.open(file)
    conversation = await history.latest()
    assert conversation is not None
    answer = conversation.turns[-1]
    assert answer.state == "interrupted"
    count = answer.content.count("<")
    assert count >= acknowledged
    assert answer.content == "".join(f"<{n}>" for n in range(count))
    # It is put together, found by a search, and the conversation goes on.
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM pieces").fetchone() == (0,)
    assert [found.id for found in await history.conversations("199")] == [conversation.id]
    chat = Chat(FakeAnswers("on"), history, conversation)
    await all_of(chat.send("go on"))
    assert texts(chat.turns) == ["count", answer.content, "go on", "on"]
    await history.close()


async def test_the_answer_of_a_living_program_is_not_interrupted(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with streaming_child(file) as child:
        acknowledged = await asyncio.to_thread(wait_until, child, 50)
        history = History.open(file)
        conversation = await history.latest()
        assert conversation is not None
        assert conversation.turns[-1].state == "streaming"
        assert conversation.turns[-1].content.count("<") >= acknowledged
        # It goes on unharmed, and its death is seen without opening the file again.
        assert await asyncio.to_thread(wait_until, child, acknowledged + 50)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert (await history.load(conversation.id)).turns[-1].state == "interrupted"
        await history.close()


async def test_two_programs_ask_in_one_conversation_and_both_are_kept(tmp_path: Path) -> None:
    histories = [History.open(tmp_path / "history.db") for _ in range(2)]
    chat = Chat(FakeAnswers("a"), histories[0], DRAFT)
    await all_of(chat.send("q"))
    latest = await histories[1].latest()
    assert latest is not None
    other = Chat(FakeAnswers("b1"), histories[1], latest)
    await asyncio.gather(all_of(chat.send("one")), all_of(other.send("two")))
    await chat.reload()
    assert chat.turns[2].branch is not None
    assert len(chat.turns[2].siblings) == 2
    whole = await histories[0].load(latest.id, whole=True)
    assert sorted(texts(whole.tree)) == ["a", "a", "b1", "one", "q", "two"]
    for history in histories:
        await history.close()


# The tree against a plain one.

Node = dict[str, object]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "again", "edit", "left", "right", "fail", "stop", "reopen"]),
        st.integers(0, 30),
    ),
    max_size=14,
)


class PlainTree:
    """The same conversation as nested lists: what every step should make of it."""

    def __init__(self) -> None:
        self.root: Node = {"text": "", "children": [], "chosen": None}

    def path(self) -> list[Node]:
        path, here = [], self.root
        while here["chosen"] is not None:
            here = here["children"][here["chosen"]]  # type: ignore[index]
            path.append(here)
        return path

    def add(self, parent: Node, text: str) -> Node:
        node: Node = {"text": text, "children": [], "chosen": None, "failed": False}
        parent["children"].append(node)  # type: ignore[attr-defined]
        parent["chosen"] = len(parent["children"]) - 1  # type: ignore[arg-type]
        return node

    def parent(self, at: int) -> Node:
        return self.path()[at - 1] if at else self.root

    def ask(self, at: int, question: str | None, answer: str) -> None:
        """Ask at this place of the path; an empty answer is one that failed."""
        parent = self.parent(at)
        asked = self.path()[at] if question is None else self.add(parent, question)
        if answer:
            asked["failed"] = False
            self.add(asked, answer)
        elif not asked["children"]:
            asked["failed"] = True

    def shown(self) -> list[tuple[object, bool, int, int]]:
        shown = []
        for at, node in enumerate(self.path()):
            siblings = self.parent(at)["children"]
            assert isinstance(siblings, list)
            index = next(i for i, sibling in enumerate(siblings) if sibling is node)
            shown.append((node["text"], bool(node["failed"]), index + 1, len(siblings)))
        return shown


@given(steps=STEPS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_leaves_the_tree_that_a_plain_one_would_be(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(follow(steps, tmp_path_factory.mktemp("tree") / "history.db"))


async def follow(steps: list[tuple[str, int]], file: Path) -> None:
    history, plain, service = History.open(file), PlainTree(), FakeAnswers()
    chat = Chat(service, history, DRAFT)
    for number, (step, at) in enumerate(steps):
        turns = chat.turns
        place = at % len(turns) if turns else 0
        service.script = (f"a{number}",)
        if step == "reopen":
            if chat.conversation.id:
                await history.delete(chat.conversation.id)
                await history.restore(chat.conversation.id)
                await history.close()
                history = History.open(file)
                chat = Chat(service, history, await history.load(chat.conversation.id))
        elif step in ("left", "right"):
            if turns:
                await chat.choose_branch(turns[place].id, 1 if step == "right" else -1)
                parent = plain.parent(place)
                count = len(parent["children"])  # type: ignore[arg-type]
                moved = parent["chosen"] + (1 if step == "right" else -1)  # type: ignore[operator]
                parent["chosen"] = min(max(moved, 0), count - 1)
        elif step == "again" and turns:
            asked = place if turns[place].role == "user" else place - 1
            await all_of(chat.regenerate(turns[place].id))
            plain.ask(asked, None, f"a{number}")
        elif step == "edit" and turns and turns[place].role == "user":
            await all_of(chat.edit(turns[place].id, f"q{number}"))
            plain.ask(place, f"q{number}", f"a{number}")
        else:
            answer = f"a{number}"
            if step == "fail":
                service.script, answer = (BROKEN,), ""
            elif step == "stop":
                service.script = (answer, BROKEN)
            failed_before = bool(turns) and turns[-1].role == "user"
            try:
                await all_of(chat.send(f"q{number}"))
            except TorbizError:
                assert step in ("fail", "stop")
            plain.ask(len(turns) - failed_before, f"q{number}", answer)
        shown = [
            (turn.content, turn.role == "user" and turn.state == "failed", *(turn.branch or (1, 1)))
            for turn in chat.turns
        ]
        assert shown == plain.shown()
        if chat.conversation.id:
            assert (await history.load(chat.conversation.id)).turns == chat.turns
        roles = [role for role, _ in service.asked[-1]] if service.asked else []
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    await history.close()
