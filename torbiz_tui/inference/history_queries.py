"""What is read from `history.db`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.conversations import Conversation, ConversationSummary, Turn
from torbiz_tui.inference.history_rows import (
    CONVERSATION_COLUMNS,
    TURN_COLUMNS,
    chosen_path,
    conversation_of,
    turn_of,
)
from torbiz_tui.inference.history_search import (
    match_expression,
    match_ranges,
    needs_scan,
    search_words,
    snippet,
)

if TYPE_CHECKING:
    import sqlite3

# A search stops after so many messages: of a word that is everywhere the newest ones are enough.
_MAX_MATCHES = 20_000
_MAX_INPUT_ROWS = 20_000


def summaries(
    db: sqlite3.Connection, search: str, limit: int, *, deleted: bool
) -> list[ConversationSummary]:
    """The conversations, the one that was changed last first; only those with all the words."""
    words = search_words(search)
    if not words:
        # Without a word there is nothing to find in "???"; with nothing typed all are shown.
        return [] if search.strip() else _all_summaries(db, limit, deleted=deleted)
    found = _matching_messages(db, words, limit, deleted=deleted)
    titled = _matching_titles(db, words, deleted=deleted)
    ids = sorted(found.keys() | titled)
    rows = db.execute(
        f"{_SUMMARY} WHERE id IN ({_marks(ids)}) ORDER BY updated_at DESC, id DESC LIMIT ?",
        (*ids, limit),
    )
    return [_found_summary(db, row, words, found.get(row[0])) for row in rows.fetchall()]


_SUMMARY = (
    "SELECT id, title, model, updated_at,"
    " (SELECT count(*) FROM turns WHERE conversation_id = conversations.id) FROM conversations"
)


def _marks(ids: list[int]) -> str:
    return ",".join("?" * len(ids))


def _all_summaries(
    db: sqlite3.Connection, limit: int, *, deleted: bool
) -> list[ConversationSummary]:
    rows = db.execute(
        f"{_SUMMARY} WHERE (deleted_at IS NOT NULL) = ? ORDER BY updated_at DESC, id DESC LIMIT ?",
        (deleted, limit),
    )
    return [ConversationSummary(*row) for row in rows]


def _matching_messages(
    db: sqlite3.Connection, words: tuple[str, ...], limit: int, *, deleted: bool
) -> dict[int, int]:
    """The newest matching message of each conversation that has one."""
    shown = _shown(db, deleted=deleted)
    found: dict[int, int] = {}
    if needs_scan(words):
        rows = db.execute(
            f"SELECT conversation_id, id FROM turns WHERE {_holding('content', words)}"
            " ORDER BY id DESC LIMIT ?",
            (*_patterns(words), _MAX_MATCHES),
        )
    else:
        rows = db.execute(
            "SELECT turns.conversation_id, turns.id FROM turns_index"
            " CROSS JOIN turns ON turns.id = turns_index.rowid"
            " WHERE turns_index MATCH ? ORDER BY turns_index.rowid DESC LIMIT ?",
            (match_expression(words), _MAX_MATCHES),
        )
    for conversation_id, turn_id in rows:
        if conversation_id in shown:
            found.setdefault(conversation_id, turn_id)
            if len(found) >= limit:
                break
    return found


def _matching_titles(db: sqlite3.Connection, words: tuple[str, ...], *, deleted: bool) -> set[int]:
    if needs_scan(words):
        rows = db.execute(
            f"SELECT id FROM conversations WHERE {_holding('title', words)}", _patterns(words)
        )
    else:
        rows = db.execute(
            "SELECT rowid FROM titles_index WHERE titles_index MATCH ? ORDER BY rowid DESC LIMIT ?",
            (match_expression(words), _MAX_MATCHES),
        )
    return {row[0] for row in rows} & _shown(db, deleted=deleted)


def _holding(column: str, words: tuple[str, ...]) -> str:
    return " AND ".join([f"{column} LIKE ?"] * len(words))


def _patterns(words: tuple[str, ...]) -> tuple[str, ...]:
    # Words hold neither of the wildcards, `%` and `_`.
    return tuple(f"%{word}%" for word in words)


def _shown(db: sqlite3.Connection, *, deleted: bool) -> set[int]:
    rows = db.execute("SELECT id FROM conversations WHERE (deleted_at IS NOT NULL) = ?", (deleted,))
    return {row[0] for row in rows}


def _found_summary(
    db: sqlite3.Connection,
    row: tuple[int, str, str, float, int],
    words: tuple[str, ...],
    turn_id: int | None,
) -> ConversationSummary:
    summary = ConversationSummary(*row, title_matches=match_ranges(row[1], words))
    if turn_id is None:
        return summary
    (content,) = db.execute("SELECT content FROM turns WHERE id = ?", (turn_id,)).fetchone()
    text, matches = snippet(content, words)
    return replace(summary, snippet=text, snippet_matches=matches, turn_id=turn_id)


def load(
    db: sqlite3.Connection,
    conversation_id: int,
    is_alive: Callable[[str], bool],
    *,
    whole: bool = False,
) -> Conversation:
    """A conversation with its chosen path, and with the whole tree where that is asked for.

    Raises TorbizError when there is none with this id.
    """
    row = db.execute(
        f"SELECT {CONVERSATION_COLUMNS}, chosen_id FROM conversations WHERE id = ?",
        (conversation_id,),
    ).fetchone()
    if row is None:
        raise no_conversation(conversation_id)
    links = db.execute(
        "SELECT id, parent_id, chosen_id FROM turns WHERE conversation_id = ? ORDER BY id",
        (conversation_id,),
    ).fetchall()
    path, children = chosen_path(row[-1], links)
    rows = {
        found[0]: found
        for found in db.execute(
            f"SELECT {TURN_COLUMNS} FROM turns WHERE conversation_id = ? ORDER BY id",
            (conversation_id,),
        )
    }
    turns = {
        turn_id: turn_of(rows[turn_id], tuple(children[rows[turn_id][1]]))
        for turn_id in (rows if whole else path)
    }
    for turn_id, turn in turns.items():
        if turn.state == "streaming":
            turns[turn_id] = _as_far_as_it_came(db, turn, is_alive)
    return replace(
        conversation_of(row),
        turns=tuple(turns[turn_id] for turn_id in path),
        tree=tuple(turns.values()) if whole else (),
    )


def _as_far_as_it_came(db: sqlite3.Connection, turn: Turn, is_alive: Callable[[str], bool]) -> Turn:
    (owner,) = db.execute("SELECT owner FROM turns WHERE id = ?", (turn.id,)).fetchone()
    return replace(
        turn,
        content=turn.content + pieces_text(db, turn.id),
        state="streaming" if is_alive(owner) else "interrupted",
    )


def pieces_text(db: sqlite3.Connection, turn_id: int) -> str:
    """What has come of an answer and is not put together yet."""
    rows = db.execute("SELECT text FROM pieces WHERE turn_id = ? ORDER BY number", (turn_id,))
    return "".join(row[0] for row in rows)


def turn(db: sqlite3.Connection, turn_id: int) -> Turn:
    """A turn with its siblings. Raises TorbizError when there is none with this id."""
    row = db.execute(f"SELECT {TURN_COLUMNS} FROM turns WHERE id = ?", (turn_id,)).fetchone()
    if row is None:
        raise no_turn(turn_id)
    siblings = db.execute(
        "SELECT id FROM turns WHERE parent_id IS ? AND conversation_id ="
        " (SELECT conversation_id FROM turns WHERE id = ?) ORDER BY id",
        (row[1], turn_id),
    )
    return turn_of(row, tuple(sibling[0] for sibling in siblings))


def latest_id(db: sqlite3.Connection) -> int | None:
    """The conversation that was changed last and has a question in it."""
    row = db.execute(
        "SELECT id FROM conversations WHERE deleted_at IS NULL"
        " AND EXISTS (SELECT 1 FROM turns WHERE conversation_id = conversations.id)"
        " ORDER BY updated_at DESC, id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else row[0]


def inputs(db: sqlite3.Connection, limit: int) -> list[str]:
    """The distinct questions of conversations that are not deleted, the newest first."""
    shown = _shown(db, deleted=False)
    found: dict[str, None] = {}
    rows = db.execute(
        "SELECT conversation_id, content FROM turns WHERE role = 'user' ORDER BY id DESC LIMIT ?",
        (_MAX_INPUT_ROWS,),
    )
    for conversation_id, content in rows:
        if conversation_id in shown:
            found.setdefault(content)
            if len(found) >= limit:
                break
    return list(found)


def no_conversation(conversation_id: int) -> TorbizError:
    """The error for a conversation that is not there."""
    return TorbizError(
        f"There is no conversation {conversation_id}.",
        why="It was deleted for good, or the history was moved away.",
        code="no_conversation",
    )


def no_turn(turn_id: int) -> TorbizError:
    """The error for a message that is not there."""
    return TorbizError(
        f"There is no message {turn_id} in the history.",
        why="Its conversation was deleted for good, or the history was moved away.",
        code="no_turn",
    )
