"""The conversations that are open, their answers, and what can be taken along of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work

from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import GenerateOptions
from torbiz_tui.pickled_weights import PICKLED, pickled_question
from torbiz_tui.screens.answering import AnsweringScreen, swarm_name
from torbiz_tui.screens.ask_view import TalkView
from torbiz_tui.screens.base import as_torbiz_error

if TYPE_CHECKING:
    from pathlib import Path

    from textual.worker import Worker

    from torbiz_tui.assembly import Services
    from torbiz_tui.inference.chat import Said
    from torbiz_tui.inference.conversations import Conversation
    from torbiz_tui.screens.ask_talk import Talk


class TalkingScreen(AnsweringScreen):
    """Receives answers, each to its end, whatever conversation is shown meanwhile."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.talks: dict[int, Talk] = {}
        self.answers: dict[Talk, Worker[None]] = {}

    @property
    def talk(self) -> Talk:
        """The conversation that is shown."""
        raise NotImplementedError

    def put_back(self, text: str) -> None:
        """Put a text that was not asked into the field of the conversation that is shown."""
        raise NotImplementedError

    def list_changed(self) -> None:
        """The conversations, or their order, are others."""

    def talk_changed(self, talk: Talk) -> None:
        """Its messages are others, or it has come to rest."""

    def talk_does(self, talk: Talk) -> None:
        """What goes on in it is something else."""

    def talk_wrote(self, talk: Talk, key: int, text: str) -> None:
        """A piece of an answer has come."""

    def talk_not_stored(self, error: TorbizError) -> None:
        """Say it; it comes once for each failure."""
        self.notice.show_error(error)

    # Conversations

    def new_talk(self) -> Talk:
        """A conversation that is stored with its first question, with the configured options."""
        from torbiz_tui.inference.conversations import Conversation

        ask, inference = self.services.config.ask, self.services.inference
        options = GenerateOptions(
            ask.max_new_tokens,
            ask.temperature,
            ask.top_p,
            ask.seed,
            tuple(ask.stop),
            inference.adapter,
        )
        draft = Conversation(
            0,
            "",
            inference.model,
            swarm_name(self.services),
            ask.system_prompt,
            options,
            local=inference.local,
        )
        return self.talk_of(draft)

    def talk_of(self, conversation: Conversation) -> Talk:
        """A conversation that goes on."""
        from torbiz_tui.inference.chat import Chat
        from torbiz_tui.screens.ask_talk import Talk

        chat = Chat(self.services.inference, self.services.history, conversation)
        return Talk(chat, self, local=conversation.local)

    # Answers

    def begin(self, talk: Talk, ask: Callable[[], AsyncIterator[Said]], text: str = "") -> None:
        """Receive an answer; `text` is given back when nobody can be asked for it."""
        if talk is self.talk:
            self.notice.close()
        talk.begin()
        self.answers[talk] = self._answer(talk, ask, text)

    @work(group="answers", exit_on_error=False)
    async def _answer(self, talk: Talk, ask: Callable[[], AsyncIterator[Said]], text: str) -> None:
        asked = False
        try:
            # Where nobody can be asked, nothing is said yet: the text goes back to the field.
            await self._reach_somebody(talk)
            asked = True
            await talk.answer(ask())
            await self._remember_swarm(talk)
        except asyncio.CancelledError:
            talk.stopped = True
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is: what has come is kept)
            self._failed(talk, as_torbiz_error(error))
        finally:
            if not asked:
                self.give_back(talk, text)
            del self.answers[talk]
            talk.rest()
            self.list_changed()
            self._ask_waiting(talk)

    async def _reach_somebody(self, talk: Talk) -> None:
        """Start the runner; while the server of this machine starts, the question waits for it.

        How long that may take is the server's own affair: it serves or fails in the end, and
        whoever waits sees how far it is. Raises TorbizError where waiting would not help.
        """
        from torbiz_tui.sharing.own_swarm import (
            NOT_SERVING_YET,
            comes_by_itself,
            not_serving_yet,
        )

        sharing, waited = self.services.sharing, False
        with sharing.subscribe() as changes:
            while True:
                before = (sharing.state.phase, sharing.state.stage_text)
                if waited and not self._asks_as(talk):
                    # Another conversation's, of another swarm perhaps.
                    raise TorbizError(
                        "The question was not asked: another model was chosen while it waited.",
                        remedy="Ask it again here.",
                        code="model_changed",
                    )
                try:
                    await self.services.inference.warm()
                except NotServedError as error:
                    if error.code != NOT_SERVING_YET:
                        raise
                else:
                    return
                state = sharing.state
                if (state.phase, state.stage_text) != before:
                    continue
                if not comes_by_itself(state):
                    raise not_serving_yet(self.model_name, state)
                waited = True
                talk.do(f"Waiting for this machine: {state.stage_text}", stage="waiting")
                async for state in changes:
                    if (state.phase, state.stage_text) != before:
                        break

    async def _remember_swarm(self, talk: Talk) -> None:
        model = talk.chat.conversation.model
        try:
            await self.services.asked_swarms.answered(model, local=talk.local)
        except TorbizError as error:
            self.notify(f"The swarm is not remembered: {error.what}", markup=False)

    def _failed(self, talk: Talk, error: TorbizError) -> None:
        talk.error = error
        if isinstance(error, NotServedError):
            self.hindered(error)
        asked = talk.chat.conversation.model == self.services.inference.model
        if talk is self.talk and error.code == PICKLED and self.is_current and asked:
            self._ask_about_pickled(talk, error)
        elif talk is self.talk and isinstance(error, NotServedError):
            self.tell_not_served(error)
        elif talk is self.talk:
            self.notice.show_error(error)
        else:
            self.notify(f"{talk.title}: {error.what}", severity="error", markup=False)

    def _ask_about_pickled(self, talk: Talk, error: TorbizError) -> None:
        """Ask whether weights that can run code are loaded; the question then goes on."""
        from torbiz_tui.screens.question import QuestionScreen

        def answered(load: bool | None) -> None:
            if load:
                self._load_pickled(talk)
            else:
                self.notice.show_error(error)

        model = talk.chat.conversation.model
        question = QuestionScreen(pickled_question(model, error), yes="Load it", no="Leave it")
        self.app.push_screen(question, answered)

    @work(group="pickled", exclusive=True, exit_on_error=False)
    async def _load_pickled(self, talk: Talk) -> None:
        await self.services.inference.allow_pickled()
        turns = talk.chat.turns
        if turns and not talk.answering:
            self.begin(talk, partial(talk.chat.regenerate, turns[-1].id))

    def give_back(self, talk: Talk, text: str) -> None:
        """Put a text that was not asked back to where it was typed."""
        if not text:
            return
        if talk is self.talk:
            self.put_back(text)
        else:
            talk.draft = f"{text}\n{talk.draft}" if talk.draft.strip() else text

    def _ask_waiting(self, talk: Talk) -> None:
        text, talk.waiting = talk.waiting, ""
        if not text:
            return
        if talk.error is None and not talk.stopped and self._asks_as(talk):
            self.begin(talk, partial(talk.chat.send, text), text)
        else:
            self.give_back(talk, text)

    def _asks_as(self, talk: Talk) -> bool:
        """Whether what is asked now is what this conversation asks."""
        inference, now = self.services.inference, talk.chat.conversation
        here = (inference.model, inference.local, inference.adapter)
        return here == (now.model, talk.local, now.options.adapter)

    @work(group="stop", exit_on_error=False)
    async def stop(self, talk: Talk) -> None:
        """Stop the answer of a conversation; what has come of it is kept."""
        talk.stopped = True
        if talk.chat.answering:
            await talk.chat.stop()
        elif (answer := self.answers.get(talk)) is not None:
            answer.cancel()

    # What can be taken along

    def action_rename(self) -> None:
        """Give the conversation another title."""
        from torbiz_tui.screens.title import TitleScreen

        talk = self.talk

        def answered(title: str | None) -> None:
            if title:
                self.rename_talk(talk, title)

        self.app.push_screen(TitleScreen(talk.title), answered)

    @on(TalkView.Export)
    def action_export(self) -> None:
        """Write the conversation to a file."""
        from torbiz_tui.inference.export import write_export
        from torbiz_tui.screens.export import ExportScreen

        talk = self.talk

        async def write(path: Path, overwrite: bool) -> None:
            conversation = await talk.whole(self.services.history)
            await asyncio.to_thread(write_export, conversation, path, overwrite=overwrite)

        self.app.push_screen(ExportScreen(talk.title, write), self._exported)

    def _exported(self, path: Path | None) -> None:
        if path is not None:
            self.notify(str(path), title="Written", markup=False)

    @on(TalkView.Copy)
    @work(group="copy", exit_on_error=False)
    async def _copied(self, event: TalkView.Copy) -> None:
        from torbiz_tui.clipboard import COPIED, COPIED_HERE, copy_locally

        self.app.copy_to_clipboard(event.text)
        here = await copy_locally(event.text)
        self.notify(COPIED_HERE if here else COPIED, title=event.title, markup=False)

    @work(group="rename", exit_on_error=False)
    async def rename_talk(self, talk: Talk, title: str) -> None:
        """Give a conversation another title."""
        await talk.chat.rename(title)
        self.list_changed()
        self.show_model()
