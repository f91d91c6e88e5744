"""A conversation that goes on: questions to the swarm, and their answers stored as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol, cast

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.conversations import Conversation, Turn, messages_for, renamed
from torbiz_tui.inference.events import (
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    TokenReceived,
)
from torbiz_tui.inference.history import History
from torbiz_tui.inference.keeping import Keeping, stays
from torbiz_tui.inference.receiving import Received


@dataclass(frozen=True)
class TurnsChanged:
    """The path through the conversation is another one now."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class StoreFailed:
    """What is said is not stored now; the chat goes on, and storing it is tried again."""

    error: TorbizError


Said = ChatEvent | TurnsChanged | StoreFailed


class Answering(Protocol):
    """The part of InferenceService that a chat needs."""

    @property
    def model(self) -> str:
        """The model that is asked."""

    def ask(
        self, messages: Sequence[Message], options: GenerateOptions, *, conversation: str = ""
    ) -> AsyncIterator[ChatEvent]:
        """Answer the last of the messages."""

    async def cancel(self, conversation: str = "") -> None:
        """Stop the running answers of a conversation."""


@dataclass(frozen=True)
class _Place:
    """Where an answer belongs: below the question at this place of the path.

    The question is a new one with this `text`, or the one that is there (None). `siblings` are
    the ids that could stand in the place of the first new turn, `path` is the path until now.
    """

    at: int
    text: str | None
    siblings: tuple[int, ...]
    path: tuple[Turn, ...]


class Chat:
    """One conversation and the answer that is being received for it.

    `send`, `regenerate` and `edit` are iterated until the answer has ended; what comes is stored
    before it is handed on. The first event is TurnsChanged, with the question and the empty answer
    in it; another one follows at the end when the path became different (nothing was answered, or
    what could not be stored has got its ids). A failure is stored and raised. Whoever stops
    iterating stops the answer, and what has come of it is kept.

    When no word of an answer came, no answer is kept: the last turn is the question, "failed" and
    with a note, and is asked again by `send` with the same text or by `regenerate`. Another text
    is then another wording of it, so that questions and answers always alternate.
    """

    def __init__(self, service: Answering, history: History, conversation: Conversation) -> None:
        self._service = service
        self._keeping = Keeping(history, conversation)
        self._answering = False
        self._asked_as = ""
        self._told = False

    @property
    def conversation(self) -> Conversation:
        """The conversation as it stands."""
        return self._keeping.conversation

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The path that is chosen; of a running answer the text follows at its end."""
        return self._keeping.conversation.turns

    @property
    def answering(self) -> bool:
        """Whether an answer is being received."""
        return self._answering

    @property
    def store_failure(self) -> TorbizError | None:
        """Why not all that was said is stored; None when it is."""
        return self._keeping.failure

    def send(self, text: str) -> AsyncGenerator[Said, None]:
        """Ask the next question."""

        def place() -> _Place:
            turns = self.turns
            if turns and turns[-1].role == "user":
                return self._wording(len(turns) - 1, text)
            return _Place(len(turns), text, (), turns)

        return self._receive(place)

    def regenerate(self, turn_id: int) -> AsyncGenerator[Said, None]:
        """Answer once more, for an answer or a question of the path; the other answers stay."""

        def place() -> _Place:
            at = self._index(turn_id)
            return self._again(at if self.turns[at].role == "user" else at - 1)

        return self._receive(place)

    def edit(self, turn_id: int, text: str) -> AsyncGenerator[Said, None]:
        """Ask a question of the path in other words; the old one stays, with what followed."""
        return self._receive(lambda: self._wording(self._index(turn_id), text))

    async def stop(self) -> None:
        """Stop the running answer; it ends with AnswerDone, and its text is kept."""
        if self._answering and self._asked_as:
            await self._service.cancel(self._asked_as)

    async def choose_branch(self, turn_id: int, step: int) -> tuple[Turn, ...]:
        """Go to the next (1) or the previous (-1) sibling of a turn, and on as it last went.

        Answers with the new path, the same one at either end. Raises TorbizError while an answer
        is running, or when the history fails.
        """
        self._must_rest()
        turn = self.turns[self._index(turn_id)]
        at = turn.siblings.index(turn.id) + step
        if 0 <= at < len(turn.siblings):
            return await self.choose_turn(turn.siblings[at])
        return self.turns

    async def choose_turn(self, turn_id: int) -> tuple[Turn, ...]:
        """Lead the path through any turn of the conversation, one that a search found, say."""
        self._must_rest()
        await self._keeping.reload(turn_id)
        return self.turns

    async def reload(self) -> None:
        """See what other programs have said in the conversation."""
        self._must_rest()
        await self._keeping.reload()

    async def rename(self, title: str) -> None:
        """Give the conversation another title."""
        await self._keeping.rename(renamed(title))

    async def change(
        self,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
        options: GenerateOptions | None = None,
        local: bool | None = None,
    ) -> None:
        """Change how the next questions are asked; None leaves as it is."""
        now = self.conversation
        await self._keeping.change(
            replace(
                now,
                model=now.model if model is None else model,
                system_prompt=now.system_prompt if system_prompt is None else system_prompt,
                options=options or now.options,
                local=now.local if local is None else local,
            )
        )

    def _must_rest(self) -> None:
        if self._answering:
            raise TorbizError(
                "An answer is still being received.",
                remedy="Wait for its end, or stop it.",
                code="busy",
            )

    def _index(self, turn_id: int) -> int:
        wanted = self._keeping.id_now(turn_id)
        for at, turn in enumerate(self.turns):
            if turn.id == wanted:
                return at
        raise TorbizError(f"There is no message {turn_id} on this branch.", code="no_turn")

    def _again(self, at: int) -> _Place:
        turns = self.turns
        others = turns[at + 1].siblings if at + 1 < len(turns) else ()
        return _Place(at, None, others, turns)

    def _wording(self, at: int, text: str) -> _Place:
        turns = self.turns
        if turns[at].role != "user":
            raise TorbizError("Only a question can be edited.", code="not_a_question")
        if text == turns[at].content:
            return self._again(at)
        return _Place(at, text, turns[at].siblings, turns)

    async def _receive(self, find_place: Callable[[], _Place]) -> AsyncGenerator[Said, None]:
        self._must_rest()
        self._answering = True
        self._asked_as = ""
        try:
            await self._keeping.catch_up()
            place = find_place()
            received = Received(await self._begin(place))
            shown = [turn.id for turn in self.turns]
            try:
                yield TurnsChanged(self.turns)
                async with aclosing(self._events()) as events:
                    async for event in events:
                        received.take(event)
                        if isinstance(event, TokenReceived):
                            self._keeping.piece(received.answer, event.text)
                        elif isinstance(event, AnswerDone):
                            # Stored first, so that whoever sees it may rely on that.
                            await self._end(place, received.ended())
                        if (failed := self._untold()) is not None:
                            yield failed
                        yield event
                if received.done is None:
                    raise TorbizError(
                        "The answer broke off.", remedy="Ask again.", code="broken_off"
                    )
            except BaseException as error:
                if received.done is None:
                    await self._end(place, received.broken(error))
                raise
            if [turn.id for turn in self.turns] != shown:
                yield TurnsChanged(self.turns)
        finally:
            self._answering = False

    async def _begin(self, place: _Place) -> Turn:
        keeping = self._keeping
        model = self._service.model or self.conversation.model
        if model != self.conversation.model:
            await self.change(model=model)
        keeping.lead(self.turns[: place.at + (place.text is None)])
        siblings = place.siblings
        if place.text is not None:
            parent = self.turns[-1] if self.turns else None
            question = await keeping.question(parent, place.text, siblings)
            keeping.lead((*self.turns, keeping.now(question)))
            siblings = ()
        elif self.turns[-1].state != "complete":
            asked_again = replace(self.turns[-1], state="complete", finish_reason=None, note="")
            keeping.lead((*self.turns[:-1], asked_again))
        answer = keeping.now(await keeping.answer(self.turns[-1], model, siblings))
        keeping.lead((*self.turns, answer))
        return answer

    def _events(self) -> AsyncGenerator[ChatEvent, None]:
        now = self.conversation
        # Kept for a stop: it changes when the conversation is stored only later.
        self._asked_as = self._keeping.key
        events = self._service.ask(
            messages_for(now.system_prompt, now.turns), now.options, conversation=self._asked_as
        )
        return cast("AsyncGenerator[ChatEvent, None]", events)

    async def _end(self, place: _Place, done: Turn) -> None:
        keeping = self._keeping
        done = keeping.now(done)
        *before, question, _ = self.turns
        if stays(done):
            keeping.lead((*before, question, done))
            await keeping.end(done, question)
            return
        if place.text is None and place.at + 1 < len(place.path):
            # The answer that was there before stands again.
            keeping.lead(tuple(keeping.now(turn) for turn in place.path))
            await keeping.end(done, question)
            await keeping.try_to_choose(self.turns[place.at + 1])
            return
        question = replace(
            question, state="failed", finish_reason=done.finish_reason, note=done.note
        )
        keeping.lead((*before, question))
        await keeping.end(done, question)

    def _untold(self) -> StoreFailed | None:
        failure = self._keeping.failure
        if failure is None:
            self._told = False
        elif not self._told:
            self._told = True
            return StoreFailed(failure)
        return None
