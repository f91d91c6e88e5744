"""Keeping what is said in a conversation: in the history, and in memory while that fails."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.conversations import Conversation, Turn, title_of
from torbiz_tui.inference.events import Role
from torbiz_tui.inference.history import History
from torbiz_tui.logs.writing import logger

T = TypeVar("T")

# The conversation was erased by another program, or its file was moved away.
_GONE = ("no_conversation", "no_turn")


class Keeping:
    """Stores the turns of one conversation, and never refuses one.

    What cannot be stored keeps an id below 0 and is stored later: with the next turn, or when the
    answer ends. A conversation that is not in the file any more is stored anew.
    """

    def __init__(self, history: History, conversation: Conversation) -> None:
        self.conversation = conversation
        self.failure: TorbizError | None = None
        """Why not all that was said is stored; None when it is."""
        self._history = history
        self._draft_key = f"draft-{uuid.uuid4().hex}"
        self._numbers = itertools.count(-1, -1)
        self._unsaved: list[Turn] = []
        self._unended: list[Turn] = []
        self._new_ids: dict[int, int] = {}
        self._settings_changed = False

    @property
    def key(self) -> str:
        """The name of the conversation for the runner."""
        stored = self.conversation.id
        return str(stored) if stored > 0 else self._draft_key

    def id_now(self, turn_id: int) -> int:
        """The id of a turn that may have been stored since it was shown."""
        return self._new_ids.get(turn_id, turn_id)

    def now(self, turn: Turn) -> Turn:
        """A turn as it is called now."""
        for old in (turn.id, turn.parent_id, *turn.siblings):
            if old is not None and old in self._new_ids:
                turn = _renumbered(turn, old, self._new_ids[old])
        return turn

    def lead(self, turns: tuple[Turn, ...]) -> None:
        """Take this as the path through the conversation, without storing it."""
        self.conversation = replace(self.conversation, turns=turns)

    async def question(self, parent: Turn | None, text: str, siblings: tuple[int, ...]) -> Turn:
        """Keep a question below an answer, or at the beginning; `siblings` are other wordings."""
        if not self.conversation.title:
            self.conversation = replace(self.conversation, title=title_of(text))
        parent_id = None if parent is None else parent.id
        if self._can_store(parent_id):
            stored = await self._try(
                self._history.add_question(self.conversation.id, parent_id, text)
            )
            if stored is not None:
                return stored
        question = self._unstored("user", parent_id, text, siblings)
        self._unsaved.append(question)
        return question

    async def answer(self, question: Turn, model: str, siblings: tuple[int, ...]) -> Turn:
        """Keep the beginning of an answer; `siblings` are the other answers."""
        if self._can_store(question.id):
            stored = await self._try(
                self._history.begin_answer(self.conversation.id, question.id, model)
            )
            if stored is not None:
                return stored
        answer = self._unstored("assistant", question.id, "", siblings)
        return replace(answer, state="streaming", model=model)

    def piece(self, answer: Turn, text: str) -> None:
        """Keep the next piece of an answer; whoever calls has the whole text for its end."""
        if answer.id > 0:
            self._history.append(answer.id, text)
            if self._history.failure is not None:
                self.failure = self._history.failure

    async def end(self, done: Turn, question: Turn) -> None:
        """Keep how an answer to `question` ended, its text included.

        The path has to be as it is then. An answer for which `stays` is False is dropped.
        """
        if done.id > 0:
            stored = await self._try(self._history.end_answer(done, content=done.content))
            if stored is None and self.id_now(done.id) == done.id:
                self._unended.append(done)
        elif stays(done):
            self._unsaved.append(done)
        else:
            self._unsaved = [question if turn.id == question.id else turn for turn in self._unsaved]
        await self.catch_up()

    async def catch_up(self) -> None:
        """Store what could not be stored before, as far as it goes now."""
        if self.conversation.id <= 0:
            stored = await self._try(self._history.store(self.conversation))
            if stored is None:
                return
            self.conversation = replace(stored, turns=self.conversation.turns)
        while self._unended:
            done = self._unended[0]
            if await self._try(self._history.end_answer(done, content=done.content)) is None:
                return
            self._unended.remove(done)
        while self._unsaved:
            turn = self._unsaved[0]
            stored_turn = await self._try(self._history.add_turn(self.conversation.id, turn))
            if stored_turn is None:
                return
            self._unsaved.remove(turn)
            self._renumber(turn.id, stored_turn.id)
        if self._settings_changed and not await self._store_settings():
            return
        self.failure = None

    async def reload(self, turn_id: int | None = None) -> None:
        """Read the conversation again, its path led through a turn where one is named.

        Raises TorbizError when that fails, or when something is not stored yet.
        """
        if self.conversation.id <= 0 and not self._unsaved:
            return
        await self.catch_up()
        if self.failure is not None:
            raise self.failure
        stored = self.conversation.id
        self.conversation = await (
            self._history.load(stored)
            if turn_id is None
            else self._history.choose(stored, self.id_now(turn_id))
        )

    async def try_to_choose(self, turn: Turn) -> None:
        """Lead the stored path through a turn again."""
        if self._can_store(turn.id):
            await self._try(self._history.choose(self.conversation.id, turn.id))

    async def rename(self, title: str) -> None:
        """Give the conversation another title. Raises TorbizError when it cannot be stored."""
        if self.conversation.id > 0:
            await self._history.rename(self.conversation.id, title)
        self.conversation = replace(self.conversation, title=title)

    async def change(self, changed: Conversation) -> None:
        """Keep other settings of the conversation."""
        self.conversation = changed
        if changed.id > 0:
            self._settings_changed = True
            await self._store_settings()

    async def _store_settings(self) -> bool:
        now = self.conversation
        storing = self._history.set_settings(
            now.id,
            model=now.model,
            system_prompt=now.system_prompt,
            options=now.options,
            local=now.local,
        )
        stored = await self._try(_done(storing)) is not None
        self._settings_changed = not stored
        return stored

    def _can_store(self, parent_id: int | None) -> bool:
        return self.conversation.id > 0 and (parent_id is None or parent_id > 0)

    async def _try(self, storing: Awaitable[T]) -> T | None:
        try:
            return await storing
        except TorbizError as error:
            logger("inference").error("a conversation is not stored: %s", error)
            self.failure = error
            if error.code in _GONE and self.conversation.id > 0:
                self._begin_anew()
            return None

    def _unstored(
        self, role: Role, parent_id: int | None, text: str, siblings: tuple[int, ...]
    ) -> Turn:
        # The failure may have made a draft of the conversation, whose turns have other ids.
        parent_id = None if parent_id is None else self.id_now(parent_id)
        new = Turn(next(self._numbers), parent_id, role, text, created_at=time.time())
        return replace(new, siblings=(*map(self.id_now, siblings), new.id))

    def _begin_anew(self) -> None:
        """Make a draft of what is shown: the path with all its turns still to be stored."""
        for turn in self.conversation.turns:
            if turn.id > 0:
                self._renumber(turn.id, next(self._numbers))
        path = tuple(replace(turn, siblings=(turn.id,)) for turn in self.conversation.turns)
        self.conversation = replace(self.conversation, id=0, turns=path)
        self._unended.clear()
        shown = {turn.id for turn in path}
        others = [turn for turn in self._unsaved if turn.id not in shown]
        kept = [turn for turn in others if turn.parent_id is None or turn.parent_id < 0]
        if len(kept) < len(others):
            logger("inference").error("a branch that was not stored was erased with the rest")
        self._unsaved = [*(turn for turn in path if turn.state != "streaming"), *kept]

    def _renumber(self, old: int, new: int) -> None:
        self._new_ids = {
            shown: new if now == old else now for shown, now in self._new_ids.items()
        } | {old: new}
        self._unsaved = [_renumbered(turn, old, new) for turn in self._unsaved]
        self.conversation = replace(
            self.conversation,
            turns=tuple(_renumbered(turn, old, new) for turn in self.conversation.turns),
        )


def stays(done: Turn) -> bool:
    """Whether an ended answer stays: one that failed or was stopped without a word does not."""
    failed = done.state != "complete" or done.finish_reason == "cancelled"
    return bool(done.content) or not failed


async def _done(storing: Awaitable[None]) -> bool:
    await storing
    return True


def _renumbered(turn: Turn, old: int, new: int) -> Turn:
    if old not in (turn.id, turn.parent_id, *turn.siblings):
        return turn
    return replace(
        turn,
        id=new if turn.id == old else turn.id,
        parent_id=new if turn.parent_id == old else turn.parent_id,
        siblings=tuple(new if sibling == old else sibling for sibling in turn.siblings),
    )
