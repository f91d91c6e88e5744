"""An open conversation: what goes on in it, also while another one is on the screen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, cast

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.chat import Said, StoreFailed, TurnsChanged
from torbiz_tui.inference.conversations import Conversation, Turn
from torbiz_tui.inference.events import (
    AnswerStarted,
    Hop,
    Recovered,
    Recovering,
    RouteChanged,
    StageChanged,
    TokenReceived,
    blocks_text,
)
from torbiz_tui.screens.ask_entries import Shown, entries
from torbiz_tui.widgets.durations import duration

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from torbiz_tui.inference.chat import Chat
    from torbiz_tui.inference.history import History
    from torbiz_tui.widgets.transcript import Entry

WAITING = "Waiting for the first word"


class Listener(Protocol):
    """Who shows what goes on in conversations."""

    def talk_changed(self, talk: Talk) -> None:
        """Its messages are others, or it has come to rest."""

    def talk_does(self, talk: Talk) -> None:
        """What goes on in it is something else."""

    def talk_wrote(self, talk: Talk, key: int, text: str) -> None:
        """A piece of an answer has come."""

    def talk_not_stored(self, error: TorbizError) -> None:
        """What is said is not stored now."""


class Talk:
    """A chat and what is known of it only while the program runs."""

    def __init__(self, chat: Chat, listener: Listener, *, local: bool) -> None:
        self.chat = chat
        self.local = local
        self._listener = listener
        self.answering = False
        self.stopped = False
        self.doing = ""
        self.since = 0.0
        self.tenths = False
        self.draft = ""
        self.set_aside = ""
        self.waiting = ""
        self.editing: Turn | None = None
        self.error: TorbizError | None = None
        self._stage_shown = ""
        self._pieces: list[str] = []
        self._key: int | None = None
        self._dropped: int | None = None
        self._hops: tuple[Hop, ...] = ()
        self._notes: dict[int, str] = {}

    @property
    def id(self) -> int:
        """The conversation's id; 0 until its first question."""
        return self.chat.conversation.id

    @property
    def title(self) -> str:
        """The conversation's title; empty until its first question."""
        return self.chat.conversation.title

    def entries(self, next_model: str) -> list[Entry]:
        """The conversation as it is shown."""
        turns = self.chat.turns
        dropped = self._dropped
        if dropped is None:
            answers = (turn for turn in reversed(turns) if turn.role == "assistant")
            dropped = next((turn.dropped_messages for turn in answers), 0)
        texts = {self._key: "".join(self._pieces)} if self._key is not None else {}
        return entries(turns, Shown(next_model, dropped, texts, self._notes))

    async def whole(self, history: History) -> Conversation:
        """The conversation with all its versions, as far as they are stored."""
        if not self.id or self.answering:
            return self.chat.conversation
        return await history.load(self.id, whole=True)

    def do(self, doing: str, *, stage: str = "", tenths: bool = False) -> None:
        """Say what goes on from now; empty for nothing.

        What is done in the same `stage` goes on since that began.
        """
        if doing != self.doing:
            if not stage or stage != self._stage_shown:
                self.since = time.monotonic()
            self.doing, self._stage_shown = doing, stage
            self.tenths = tenths
            self._listener.talk_does(self)

    def begin(self) -> None:
        """An answer is on its way from now."""
        self.answering, self.stopped, self.error = True, False, None
        self.do("Asking")

    def rest(self) -> None:
        """Nothing goes on any more."""
        self.answering = False
        self.doing = ""
        self._listener.talk_changed(self)

    async def answer(self, events: AsyncIterator[Said]) -> None:
        """Take in an answer to its end. Raises TorbizError; what has come stays."""
        try:
            async with aclosing(cast("AsyncGenerator[Said]", events)) as said:
                async for event in said:
                    self._take(event)
        finally:
            self._key = None
            self._pieces = []

    def _take(self, event: Said) -> None:
        if isinstance(event, TokenReceived):
            self._take_piece(event.text)
        elif isinstance(event, TurnsChanged):
            last = event.turns[-1] if event.turns else None
            streaming = last is not None and last.state == "streaming"
            self._key = last.id if last is not None and streaming else None
            self._listener.talk_changed(self)
        elif isinstance(event, StoreFailed):
            self._listener.talk_not_stored(event.error)
        elif isinstance(event, StageChanged):
            self._stage(event)
        elif isinstance(event, AnswerStarted):
            self._dropped = event.dropped_messages
            self._hops = event.route.hops
            new = event.prompt_tokens - event.reused_tokens
            self.do(f"Reading {new} new token{'' if new == 1 else 's'}")
            self._listener.talk_changed(self)
        elif isinstance(event, Recovering):
            blocks = blocks_text(((event.first, event.end),))
            self.do(f"Looking for another server for blocks {blocks}", tenths=True)
        elif isinstance(event, Recovered):
            self._recovered(event)
        elif not isinstance(event, RouteChanged):
            self.do("")

    def _take_piece(self, text: str) -> None:
        if self._key is None:
            return
        if not self._pieces or self.doing != "Writing":
            self.do("Writing")
        self._pieces.append(text)
        self._listener.talk_wrote(self, self._key, text)

    def _stage(self, now: StageChanged) -> None:
        if self._pieces:
            return
        if now.stage == "ready":
            self.do(WAITING)
        else:
            self.do(now.text or "Asking", stage=now.title)

    def _recovered(self, event: Recovered) -> None:
        if self._key is not None:
            others = event.route.hops != self._hops
            what = "another server took over" if others else "it was interrupted, and went on"
            self._notes[self._key] = f"{what} after {duration(event.seconds)}"
        self._hops = event.route.hops
        self.do("Writing" if self._pieces else WAITING)
