"""What is written to `history.db`, each function in one short transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torbiz_tui.inference.conversations import Conversation, Turn
from torbiz_tui.inference.history_queries import no_conversation, no_turn, pieces_text, turn
from torbiz_tui.inference.history_rows import options_text, route_text, storable
from torbiz_tui.inference.history_schema import transaction
from torbiz_tui.logs.writing import logger

if TYPE_CHECKING:
    import sqlite3

_EMPTY_KEPT_S = 24 * 3600.0


def create(db: sqlite3.Connection, conversation: Conversation) -> int:
    """Store a conversation without turns, and answer with its id."""
    with transaction(db):
        return _create(db, conversation)


def _create(db: sqlite3.Connection, conversation: Conversation) -> int:
    now = time.time()
    cursor = db.execute(
        "INSERT INTO conversations"
        " (title, model, swarm, system_prompt, options, created_at, updated_at, local)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation.title,
            conversation.model,
            conversation.swarm,
            storable(conversation.system_prompt),
            options_text(conversation.options),
            conversation.created_at or now,
            now,
            conversation.local,
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def change(db: sqlite3.Connection, conversation_id: int, fields: Mapping[str, object]) -> None:
    """Change columns of a conversation and no other ones, so that nobody's change is lost."""
    if not fields:
        return
    columns = ", ".join(f"{name} = ?" for name in fields)
    with transaction(db):
        cursor = db.execute(
            f"UPDATE conversations SET {columns} WHERE id = ?",
            (*fields.values(), conversation_id),
        )
        if not cursor.rowcount:
            raise no_conversation(conversation_id)


def add_turn(
    db: sqlite3.Connection,
    conversation_id: int,
    new: Turn,
    *,
    owner: str = "",
    title: str = "",
) -> Turn:
    """Store a turn below its parent and choose it; `title` is for a conversation without one."""
    with transaction(db):
        turn_id = _insert_turn(db, conversation_id, new, owner)
        _touch(db, conversation_id, title)
    return turn(db, turn_id)


def _insert_turn(db: sqlite3.Connection, conversation_id: int, new: Turn, owner: str) -> int:
    if new.parent_id is not None:
        known = db.execute(
            "SELECT 1 FROM turns WHERE id = ? AND conversation_id = ?",
            (new.parent_id, conversation_id),
        )
        if known.fetchone() is None:
            raise no_turn(new.parent_id)
    elif not db.execute("SELECT 1 FROM conversations WHERE id = ?", (conversation_id,)).fetchone():
        raise no_conversation(conversation_id)
    values: dict[str, Any] = {
        "conversation_id": conversation_id,
        "parent_id": new.parent_id,
        "role": new.role,
        "content": storable(new.content),
        "state": new.state,
        "owner": owner,
        "model": new.model,
        "created_at": new.created_at or time.time(),
        **_outcome(new),
    }
    cursor = db.execute(
        f"INSERT INTO turns ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
        tuple(values.values()),
    )
    assert cursor.lastrowid is not None
    _choose(db, conversation_id, new.parent_id, cursor.lastrowid)
    return cursor.lastrowid


def _outcome(done: Turn) -> dict[str, Any]:
    return {
        "finish_reason": done.finish_reason,
        "prompt_tokens": done.prompt_tokens,
        "reused_tokens": done.reused_tokens,
        "completion_tokens": done.completion_tokens,
        "first_token_s": done.first_token_s,
        "tokens_per_s": done.tokens_per_s,
        "dropped_messages": done.dropped_messages,
        "note": storable(done.note),
        "route": route_text(done.route),
    }


def _choose(
    db: sqlite3.Connection, conversation_id: int, parent_id: int | None, child_id: int | None
) -> None:
    if parent_id is None:
        db.execute(
            "UPDATE conversations SET chosen_id = ? WHERE id = ?", (child_id, conversation_id)
        )
    else:
        db.execute("UPDATE turns SET chosen_id = ? WHERE id = ?", (child_id, parent_id))


def _touch(db: sqlite3.Connection, conversation_id: int, title: str = "") -> None:
    # What is said in a conversation that another program has deleted meanwhile must not be purged.
    db.execute(
        "UPDATE conversations SET updated_at = ?, deleted_at = NULL WHERE id = ?",
        (time.time(), conversation_id),
    )
    if title:
        db.execute(
            "UPDATE conversations SET title = ? WHERE id = ? AND title = ''",
            (title, conversation_id),
        )


def choose(db: sqlite3.Connection, conversation_id: int, turn_id: int) -> None:
    """Let the chosen path lead through this turn; below it stays chosen what was."""
    with transaction(db):
        here: int | None = turn_id
        while here is not None:
            row = db.execute(
                "SELECT parent_id FROM turns WHERE id = ? AND conversation_id = ?",
                (here, conversation_id),
            ).fetchone()
            if row is None:
                raise no_turn(here)
            _choose(db, conversation_id, row[0], here)
            here = row[0]


def write_pieces(db: sqlite3.Connection, pieces: Iterable[tuple[int, str]]) -> None:
    """Add what has come of running answers; one row for each answer."""
    texts: dict[int, list[str]] = {}
    for turn_id, text in pieces:
        texts.setdefault(turn_id, []).append(text)
    with transaction(db):
        for turn_id, parts in texts.items():
            cursor = db.execute(
                "INSERT INTO pieces (turn_id, number, text)"
                " SELECT id, coalesce((SELECT max(number) FROM pieces WHERE turn_id = ?1), 0) + 1,"
                " ?2 FROM turns WHERE id = ?1",
                (turn_id, "".join(parts)),
            )
            if not cursor.rowcount:
                logger("inference").warning("a piece of message %d, which is gone", turn_id)


def end_answer(db: sqlite3.Connection, done: Turn, content: str | None) -> bool:
    """Store how an answer ended, its pieces put together, or `content` where that is known.

    One without any text is taken out again, as nothing was said, and its question gets its state
    and its note; False says so.
    """
    with transaction(db):
        row = db.execute(
            "SELECT conversation_id, content FROM turns WHERE id = ?", (done.id,)
        ).fetchone()
        if row is None:
            raise no_turn(done.id)
        conversation_id, stored = row
        text = stored + pieces_text(db, done.id) if content is None else storable(content)
        _touch(db, conversation_id)
        return _settle(db, conversation_id, done, text)


def _settle(db: sqlite3.Connection, conversation_id: int, done: Turn, text: str) -> bool:
    db.execute("DELETE FROM pieces WHERE turn_id = ?", (done.id,))
    failed = done.state != "complete" or done.finish_reason == "cancelled"
    if failed and not text and _take_out(db, conversation_id, done):
        return False
    values = {"content": text, "state": done.state, "owner": "", **_outcome(done)}
    db.execute(
        f"UPDATE turns SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?",
        (*values.values(), done.id),
    )
    return True


def _take_out(db: sqlite3.Connection, conversation_id: int, done: Turn) -> bool:
    """Remove an answer without text; False when the conversation went on below it."""
    if db.execute("SELECT 1 FROM turns WHERE parent_id = ?", (done.id,)).fetchone():
        return False
    (question_id,) = db.execute("SELECT parent_id FROM turns WHERE id = ?", (done.id,)).fetchone()
    db.execute("DELETE FROM turns WHERE id = ?", (done.id,))
    (other,) = db.execute(
        "SELECT max(id) FROM turns WHERE parent_id IS ? AND conversation_id = ?",
        (question_id, conversation_id),
    ).fetchone()
    _choose(db, conversation_id, question_id, other)
    if other is None:
        state = "interrupted" if done.state == "interrupted" else "failed"
        db.execute(
            "UPDATE turns SET state = ?, finish_reason = ?, note = ? WHERE id = ?",
            (state, done.finish_reason, done.note, question_id),
        )
    return True


def settle_question(db: sqlite3.Connection, question_id: int) -> None:
    """Take back that a question has failed: it is asked again."""
    with transaction(db):
        db.execute(
            "UPDATE turns SET state = 'complete', finish_reason = NULL, note = ''"
            " WHERE id = ? AND state <> 'complete'",
            (question_id,),
        )


def recover(db: sqlite3.Connection, is_alive: Callable[[str], bool]) -> None:
    """Mark the answers as interrupted whose programs have died, and put their pieces together."""
    streaming = db.execute("SELECT id, owner FROM turns WHERE state = 'streaming'").fetchall()
    for turn_id, owner in streaming:
        if is_alive(owner):
            continue
        with transaction(db):
            row = db.execute(
                "SELECT conversation_id, parent_id, content FROM turns"
                " WHERE id = ? AND owner = ? AND state = 'streaming'",
                (turn_id, owner),
            ).fetchone()
            if row is not None:
                conversation_id, parent_id, content = row
                gone = Turn(turn_id, parent_id, "assistant", "", state="interrupted")
                _settle(db, conversation_id, gone, content + pieces_text(db, turn_id))


def erase(db: sqlite3.Connection, conversation_id: int) -> None:
    """Delete a conversation for good."""
    with transaction(db):
        db.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,))


def purge(db: sqlite3.Connection, older_than_s: float) -> int:
    """Delete for good what was deleted longer ago, and conversations in which nothing was asked.

    Answers with how many were purged.
    """
    now = time.time()
    doomed = db.execute(
        "SELECT id FROM conversations WHERE deleted_at < ?"
        " UNION SELECT id FROM conversations WHERE updated_at < ? AND NOT EXISTS"
        " (SELECT 1 FROM turns WHERE conversation_id = conversations.id)",
        (now - older_than_s, now - _EMPTY_KEPT_S),
    ).fetchall()
    for (conversation_id,) in doomed:
        # One by one, so that other programs never wait long.
        erase(db, conversation_id)
    return len(doomed)
