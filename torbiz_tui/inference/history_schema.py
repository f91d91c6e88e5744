"""The tables of `history.db`, how an older file becomes a newer one, and what can be wrong with it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torbiz_tui.errors import TorbizError

if TYPE_CHECKING:
    import sqlite3

_BUSY_TIMEOUT_S = 5.0
# "TrbZ", so that a file of another program is never taken for ours.
_APPLICATION_ID = 0x5472625A

# UPGRADES[n] makes version n + 1 out of version n. A released one is never changed.
UPGRADES: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE conversations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL,
            model TEXT NOT NULL,
            swarm TEXT NOT NULL,
            system_prompt TEXT NOT NULL,
            options TEXT NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            deleted_at REAL,
            chosen_id INTEGER
        )
        """,
        """
        CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation_id INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
            parent_id INTEGER,
            chosen_id INTEGER,
            role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
            state TEXT NOT NULL CHECK (state IN ('complete', 'streaming', 'interrupted', 'failed')),
            owner TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL,
            finish_reason TEXT,
            model TEXT NOT NULL DEFAULT '',
            prompt_tokens INTEGER NOT NULL DEFAULT 0,
            reused_tokens INTEGER NOT NULL DEFAULT 0,
            completion_tokens INTEGER NOT NULL DEFAULT 0,
            first_token_s REAL NOT NULL DEFAULT 0,
            tokens_per_s REAL NOT NULL DEFAULT 0,
            dropped_messages INTEGER NOT NULL DEFAULT 0,
            note TEXT NOT NULL DEFAULT '',
            route TEXT NOT NULL DEFAULT '',
            content TEXT NOT NULL
        )
        """,
        # What has come of an answer that still streams; its content is put together at the end.
        """
        CREATE TABLE pieces (
            turn_id INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE,
            number INTEGER NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (turn_id, number)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX conversations_by_update ON conversations (updated_at, id)",
        "CREATE INDEX conversations_deleted ON conversations (deleted_at)"
        " WHERE deleted_at IS NOT NULL",
        "CREATE INDEX turns_of_conversation ON turns (conversation_id, id)",
        "CREATE INDEX turns_of_parent ON turns (parent_id)",
        "CREATE INDEX turns_streaming ON turns (id) WHERE state = 'streaming'",
        """
        CREATE VIRTUAL TABLE turns_index USING fts5(
            content, content='turns', content_rowid='id',
            tokenize='unicode61 remove_diacritics 2'
        )
        """,
        """
        CREATE TRIGGER turns_index_insert AFTER INSERT ON turns WHEN new.content <> '' BEGIN
            INSERT INTO turns_index (rowid, content) VALUES (new.id, new.content);
        END
        """,
        """
        CREATE TRIGGER turns_index_delete AFTER DELETE ON turns WHEN old.content <> '' BEGIN
            INSERT INTO turns_index (turns_index, rowid, content)
            VALUES ('delete', old.id, old.content);
        END
        """,
        """
        CREATE TRIGGER turns_index_forget AFTER UPDATE OF content ON turns
        WHEN old.content <> new.content AND old.content <> '' BEGIN
            INSERT INTO turns_index (turns_index, rowid, content)
            VALUES ('delete', old.id, old.content);
        END
        """,
        """
        CREATE TRIGGER turns_index_learn AFTER UPDATE OF content ON turns
        WHEN old.content <> new.content AND new.content <> '' BEGIN
            INSERT INTO turns_index (rowid, content) VALUES (new.id, new.content);
        END
        """,
        """
        CREATE VIRTUAL TABLE titles_index USING fts5(
            title, content='conversations', content_rowid='id',
            tokenize='unicode61 remove_diacritics 2'
        )
        """,
        """
        CREATE TRIGGER titles_index_insert AFTER INSERT ON conversations BEGIN
            INSERT INTO titles_index (rowid, title) VALUES (new.id, new.title);
        END
        """,
        """
        CREATE TRIGGER titles_index_delete AFTER DELETE ON conversations BEGIN
            INSERT INTO titles_index (titles_index, rowid, title)
            VALUES ('delete', old.id, old.title);
        END
        """,
        """
        CREATE TRIGGER titles_index_update AFTER UPDATE OF title ON conversations BEGIN
            INSERT INTO titles_index (titles_index, rowid, title)
            VALUES ('delete', old.id, old.title);
            INSERT INTO titles_index (rowid, title) VALUES (new.id, new.title);
        END
        """,
    ),
    (
        "ALTER TABLE conversations ADD COLUMN local INTEGER NOT NULL DEFAULT 0",
        # Until then only the name of the swarm told it, that of the first question.
        "UPDATE conversations SET local = 1 WHERE swarm = 'local, no swarm'",
    ),
)


def open_database(file: Path) -> sqlite3.Connection:
    """Open the file for the thread that calls, made or upgraded where it has to be.

    Raises TorbizError; a damaged file, one of a newer program and one of another program are left
    as they are.
    """
    import sqlite3

    db: sqlite3.Connection | None = None
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its journal and its shared memory get the mode of the file.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        file.chmod(0o600)
        db = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        if _version(db, file) < len(UPGRADES):
            _use_write_ahead_log(db)
            _upgrade(db, file)
        _use_write_ahead_log(db)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        return db
    except (OSError, sqlite3.Error, TorbizError) as error:
        if db is not None:
            db.close()
        if isinstance(error, TorbizError):
            raise
        raise history_error(error, file) from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write all of it or nothing; the file is locked for others meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection, file: Path) -> int:
    # As of one moment: another program may be making the file right now.
    alone = not db.in_transaction
    if alone:
        db.execute("BEGIN")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        if alone and db.in_transaction:
            db.execute("ROLLBACK")
    if tables and application != _APPLICATION_ID:
        raise TorbizError(
            f"{file} is not a history of conversations.",
            why="It is a database of another program.",
            remedy="Move it away; a new history is then begun.",
            code="history_foreign",
        )
    if version > len(UPGRADES):
        raise TorbizError(
            f"The history {file} is of a newer torbiz-tui.",
            why=f"It has version {version}, and this program knows up to {len(UPGRADES)}.",
            remedy="Update torbiz-tui; the file was left as it is.",
            code="history_newer",
        )
    return int(version)


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Another program that opens a new file at the same moment makes this fail without waiting."""
    import sqlite3

    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _upgrade(db: sqlite3.Connection, file: Path) -> None:
    with transaction(db):
        # Another program may have done it while this one waited for the lock.
        for statements in UPGRADES[_version(db, file) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(UPGRADES)}")


def history_error(error: Exception, file: Path) -> TorbizError:
    """What a failure of the file means, for people."""
    import sqlite3

    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return TorbizError(
            f"The history {file} is damaged.",
            why=f"SQLite says: {error}.",
            remedy="Nothing was changed. Restore it from a backup, or move it aside to begin a new "
            "one.",
            code="history_damaged",
        )
    if primary == sqlite3.SQLITE_FULL:
        return TorbizError(
            "What is said is not stored: the disk is full.",
            why=f"{file} cannot grow.",
            remedy="Free some space (torbiz-tui clean); it is stored with the next question then.",
            code="history_disk_full",
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TorbizError(
            f"The history {file} is held by another program.",
            why=f"It was not free for {_BUSY_TIMEOUT_S:.0f} s.",
            remedy="Close the other program, or try again.",
            code="history_busy",
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TorbizError(
        f"The history {file} cannot be read or written.",
        why=f"{reason}.",
        remedy="Mend its permissions or the disk; it is tried again with the next question.",
        code="history_unavailable",
    )
