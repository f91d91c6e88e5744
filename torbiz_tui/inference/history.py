"""The conversations of one home folder, kept in `history.db`."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.environments.processes import start_mark
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference import history_changes as changes
from torbiz_tui.inference import history_queries as queries
from torbiz_tui.inference.conversations import (
    Conversation,
    ConversationSummary,
    Turn,
    renamed,
    title_of,
)
from torbiz_tui.inference.events import AnswerDone, GenerateOptions
from torbiz_tui.inference.history_rows import options_text, storable
from torbiz_tui.inference.history_thread import HistoryThread, Job

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

KEPT_DELETED_S = 30 * 24 * 3600.0
_HOUSEKEEPING_AFTER_S = 5.0

_numbers = itertools.count(1)
_open_here: set[str] = set()


class History:
    """Stores conversations so that nothing that was said is lost.

    All of it happens in a thread of its own, in short transactions, so several programs can use
    one file. The methods raise TorbizError when the file cannot be read or written; what was
    queued is carried out also when nobody waits for it. A running answer carries the process that
    receives it (its number, its start and the History): one whose process is gone is shown as
    interrupted, and stored so at the next opening. A wrong guess, as between containers that
    share a home, is put right by `finish`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._owner = ""
        self._thread = HistoryThread(
            file,
            write_pieces=changes.write_pieces,
            opened=lambda db: changes.recover(db, _is_alive),
            housekeeping=lambda db: _purge(db, KEPT_DELETED_S),
            housekeeping_after_s=_HOUSEKEEPING_AFTER_S,
        )

    @classmethod
    def open(cls, file: Path) -> History:
        """The history in this file; the file is opened, or made, when it is first used."""
        return cls(file)

    @property
    def failure(self) -> TorbizError | None:
        """Why the newest pieces of running answers could not be written; None when they were."""
        return self._thread.failure

    async def close(self) -> None:
        """Write what waits and let go of the file; answers that still run here are interrupted."""
        await self._thread.close()
        _open_here.discard(self._owner)

    async def conversations(
        self, search: str = "", *, limit: int = 500, deleted: bool = False
    ) -> list[ConversationSummary]:
        """The conversations, changed last first; with `search`, those that hold all its words.

        A word is looked for in titles and messages, whatever its case and accents; of the last
        one the beginning is enough.
        """
        return await self._call(lambda db: queries.summaries(db, search, limit, deleted=deleted))

    async def create(
        self,
        model: str,
        *,
        system_prompt: str = "",
        options: GenerateOptions | None = None,
        swarm: str = "",
        title: str = "",
    ) -> Conversation:
        """Store a new conversation; one that stays empty is removed after a day."""
        new = Conversation(
            0, renamed(title), model, swarm, system_prompt, options or GenerateOptions()
        )
        return await self.store(new)

    async def store(self, draft: Conversation) -> Conversation:
        """Store a draft, without its turns."""
        return await self._call(lambda db: queries.load(db, changes.create(db, draft), _is_alive))

    async def load(self, conversation_id: int, *, whole: bool = False) -> Conversation:
        """A conversation; with `whole`, its `tree` too. Raises TorbizError when it is not there."""
        return await self._call(
            lambda db: queries.load(db, conversation_id, _is_alive, whole=whole)
        )

    async def latest(self) -> Conversation | None:
        """The conversation in which something was said last."""

        def load(db: sqlite3.Connection) -> Conversation | None:
            found = queries.latest_id(db)
            return None if found is None else queries.load(db, found, _is_alive)

        return await self._call(load)

    async def inputs(self, limit: int = 200) -> list[str]:
        """Distinct questions that were asked, newest first."""
        return await self._call(lambda db: queries.inputs(db, limit))

    async def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation another title, kept in one safe line."""
        await self._change(conversation_id, title=renamed(title))

    async def set_settings(
        self,
        conversation_id: int,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
        options: GenerateOptions | None = None,
        swarm: str | None = None,
        local: bool | None = None,
    ) -> None:
        """Change how the next questions are asked; None leaves as it is."""
        given = {
            "model": model,
            "system_prompt": None if system_prompt is None else storable(system_prompt),
            "options": None if options is None else options_text(options),
            "swarm": swarm,
            "local": local,
        }
        await self._change(
            conversation_id, **{name: value for name, value in given.items() if value is not None}
        )

    async def delete(self, conversation_id: int) -> None:
        """Take a conversation out of the list; it can be restored for 30 days."""
        await self._change(conversation_id, deleted_at=time.time())

    async def restore(self, conversation_id: int) -> None:
        """Take back that a conversation was deleted."""
        await self._change(conversation_id, deleted_at=None)

    async def erase(self, conversation_id: int) -> None:
        """Delete a conversation for good, at once."""
        await self._call(lambda db: changes.erase(db, conversation_id))

    async def purge(self, older_than_s: float = KEPT_DELETED_S) -> int:
        """Delete for good what was deleted longer ago, and answer with how many those were."""
        return await self._call(lambda db: changes.purge(db, older_than_s))

    async def add_question(self, conversation_id: int, parent_id: int | None, content: str) -> Turn:
        """Store a question below an answer (None: at the beginning) and choose it."""
        new = Turn(0, parent_id, "user", content)
        return await self._call(
            lambda db: changes.add_turn(db, conversation_id, new, title=title_of(content))
        )

    async def begin_answer(self, conversation_id: int, question_id: int, model: str) -> Turn:
        """Store an answer that has no text yet below its question, and choose it."""
        new = Turn(0, question_id, "assistant", "", state="streaming", model=model)

        def begin(db: sqlite3.Connection) -> Turn:
            changes.settle_question(db, question_id)
            return changes.add_turn(db, conversation_id, new, owner=self._mark_owner())

        return await self._call(begin)

    def append(self, turn_id: int, text: str) -> None:
        """Store the next piece of an answer within some 20 ms; a failure is told by `failure`."""
        self._thread.append(turn_id, text)

    async def flush(self) -> None:
        """Wait until every piece is stored. Raises TorbizError when that failed."""
        await self._call(lambda _db: None)
        if self.failure is not None:
            raise self.failure

    async def finish(
        self,
        turn_id: int,
        done: AnswerDone,
        *,
        dropped_messages: int = 0,
        note: str = "",
        content: str | None = None,
    ) -> bool:
        """Store how an answer ended.

        `content`, where it is known, is the whole text, and makes up for pieces that could not be
        written. A cancelled answer without any text is taken out again, its question is "failed"
        then, and False comes back.
        """
        return await self.end_answer(
            answer_turn(turn_id, done, dropped_messages, note), content=content
        )

    async def fail(
        self, turn_id: int, error: TorbizError | str, *, content: str | None = None
    ) -> bool:
        """Store that an answer failed; one without any text is taken out, as `finish` says."""
        failed = Turn(turn_id, None, "assistant", "", state="failed", note=str(error))
        return await self.end_answer(failed, content=content)

    async def end_answer(self, done: Turn, *, content: str | None = None) -> bool:
        """Store how an answer ended: everything of `done` but its text and its place."""

        def end(db: sqlite3.Connection) -> bool:
            kept = changes.end_answer(db, done, content)
            if content is not None:
                self._thread.forget_pieces(done.id)
            return kept

        return await self._call(end)

    async def add_turn(self, conversation_id: int, turn: Turn) -> Turn:
        """Store a turn that could not be stored when it came, below its parent."""
        title = title_of(turn.content) if turn.role == "user" else ""
        return await self._call(lambda db: changes.add_turn(db, conversation_id, turn, title=title))

    async def choose(self, conversation_id: int, turn_id: int) -> Conversation:
        """Let the path lead through this turn, and below it on as it last did."""

        def choose(db: sqlite3.Connection) -> Conversation:
            changes.choose(db, conversation_id, turn_id)
            return queries.load(db, conversation_id, _is_alive)

        return await self._call(choose)

    async def set_aside(self) -> Path:
        """Move a damaged file away, for a person who asked for it, and begin a new history.

        Answers with where it is now. Raises TorbizError when it cannot be moved.
        """
        return await self._thread.set_aside()

    def _mark_owner(self) -> str:
        if not self._owner:
            self._owner = f"{os.getpid()} {start_mark(os.getpid())} {next(_numbers)}"
            _open_here.add(self._owner)
        return self._owner

    async def _change(self, conversation_id: int, **fields: object) -> None:
        await self._call(lambda db: changes.change(db, conversation_id, fields))

    async def _call(self, job: Job[T]) -> T:
        return await self._thread.call(job)


def answer_turn(turn_id: int, done: AnswerDone, dropped_messages: int = 0, note: str = "") -> Turn:
    """What AnswerDone says of an answer, as a turn without its text and its place."""
    return Turn(
        turn_id,
        None,
        "assistant",
        "",
        finish_reason=done.finish_reason,
        prompt_tokens=done.prompt_tokens,
        reused_tokens=done.reused_tokens,
        completion_tokens=done.completion_tokens,
        first_token_s=done.first_token_s,
        tokens_per_s=done.tokens_per_s,
        dropped_messages=dropped_messages,
        note=note,
        route=done.route,
    )


def _is_alive(owner: str) -> bool:
    """Whether who receives an answer is still there."""
    if owner in _open_here:
        return True
    pid, _, rest = owner.partition(" ")
    mark = rest.rpartition(" ")[0]
    return pid != str(os.getpid()) and pid.isdigit() and start_mark(int(pid)) == mark


def _purge(db: sqlite3.Connection, older_than_s: float) -> None:
    changes.purge(db, older_than_s)
