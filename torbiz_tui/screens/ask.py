"""Ask: conversations with the models of the swarm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.chat import Chat, Said
from torbiz_tui.inference.conversations import Conversation
from torbiz_tui.inference.events import GenerateOptions
from torbiz_tui.screens.answering import LOCAL, AnsweringScreen, swarm_name
from torbiz_tui.screens.ask_commands import ask_commands
from torbiz_tui.screens.ask_panes import AskPanes
from torbiz_tui.screens.ask_talk import Talk
from torbiz_tui.screens.ask_view import TalkView
from torbiz_tui.screens.base import as_torbiz_error
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.conversation_list import ConversationList
from torbiz_tui.widgets.question_input import QuestionInput
from torbiz_tui.widgets.settings_panel import AnswerSettings, SettingsPanel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from textual.app import SystemCommand
    from textual.worker import Worker

    from torbiz_tui.assembly import Services

_LONG_TEXT = 80
COPIED = "Sent to the clipboard (your terminal decides whether it takes it)."
COPIED_HERE = "On this machine's clipboard, and sent to your terminal (which decides itself)."
_RECALLED = 1000
BUSY = "An answer is being written; Escape stops it."


class AskScreen(AnsweringScreen):
    """Questions and answers; an answer goes on while another conversation or screen is shown."""

    MODE = "ask"
    PURPOSE = (
        "Conversations with a model that a swarm serves. The answer is written as it comes; Escape "
        "stops it. What is said is kept in this folder's history up to the last word received. The "
        "line above the field says which servers hold which blocks of the model."
    )
    CSS_PATH = "ask.tcss"
    BINDINGS = [*keys.ASK]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.view = TalkView()
        self._panes = AskPanes(services.history, self.view)
        self._talks: dict[int, Talk] = {}
        self._talk = self._new_talk()
        self._answers: dict[Talk, Worker[None]] = {}

    def compose_body(self) -> Iterator[Widget]:
        """Who answers, then the panes."""
        yield Static(self.model_line(), id="model", markup=False)
        yield self._panes

    def on_mount(self) -> None:
        """Be ready to type."""
        self._show(self._talk)
        self._load_earlier()

    @work(group="earlier", exit_on_error=False)
    async def _load_earlier(self) -> None:
        self.view.field.set_earlier(await self.services.history.inputs(_RECALLED))

    # The conversation that is shown

    @property
    def talk(self) -> Talk:
        """The conversation that is shown."""
        return self._talk

    def _new_talk(self) -> Talk:
        ask, inference = self.services.config.ask, self.services.inference
        options = GenerateOptions(
            ask.max_new_tokens, ask.temperature, ask.top_p, ask.seed, tuple(ask.stop)
        )
        draft = Conversation(
            0, "", inference.model, swarm_name(self.services), ask.system_prompt, options
        )
        return self._talk_of(draft)

    def _talk_of(self, conversation: Conversation) -> Talk:
        chat = Chat(self.services.inference, self.services.history, conversation)
        return Talk(chat, self, local=conversation.swarm == LOCAL)

    def _show(self, talk: Talk) -> None:
        self._talk = talk
        if talk.id:
            self._talks[talk.id] = talk
        now = talk.chat.conversation
        if now.model:
            self.choose(now.model, local=talk.local)
        self.view.show_welcome(self._welcome())
        self.view.show(talk, self.model_name)
        self._panes.show_settings(AnswerSettings(now.system_prompt, now.options))
        self._panes.show_current(talk.id)
        self.show_model()
        if talk.error is not None:
            self.notice.show_error(talk.error)
        self.refresh_bindings()

    def _welcome(self) -> Content:
        parts: list[str | tuple[str, str]] = [("Ask a question below.", "bold")]
        if self.is_demo:
            parts.append(
                "\n\nThis is a small demo model that was trained on the documentation of this "
                "program and knows nothing else. Try one of these:\n"
                "\n  What is Petals?"
                "\n  How do I share my machine?"
                "\n  Do I need Docker?"
            )
        return Content.assemble(*parts)

    def title_shown(self) -> str:
        """The conversation's title."""
        return self._talk.title

    def warming(self, doing: str) -> None:
        """The runner does this now."""
        self.view.warming(doing)

    def model_chosen(self) -> None:
        """The conversation goes on with another model."""
        inference = self.services.inference
        self._talk.local = inference.local
        self._change(self._talk, model=inference.model)
        self.view.show_welcome(self._welcome())
        self.view.update_talk(self.model_name)

    # What goes on in conversations

    def talk_changed(self, talk: Talk) -> None:
        """Show it where it is the one that is shown."""
        if talk.id and talk.id not in self._talks:
            self._talks[talk.id] = talk
            self._panes.conversations_changed()
        if talk is self._talk:
            self._panes.show_current(talk.id)
            self.view.update_talk(self.model_name)
            self.show_model()
            self.refresh_bindings()

    def talk_wrote(self, talk: Talk, key: int, text: str) -> None:
        """A piece of an answer has come."""
        if talk is self._talk:
            self.view.write(key, text)

    def talk_not_stored(self, error: TorbizError) -> None:
        """Said once for each failure."""
        self.notice.show_error(error)

    # Asking

    @on(QuestionInput.Sent)
    def _sent(self, event: QuestionInput.Sent) -> None:
        talk, text = self._talk, event.text
        if talk.answering and (talk.editing is not None or talk.waiting):
            self.notify(BUSY, markup=False)
            return
        if self.refuses():
            return
        self.view.field.remember(text)
        self.view.field.clear()
        if talk.answering:
            talk.waiting = text
            self.view.update_talk(self.model_name)
        elif talk.editing is not None:
            edited = talk.editing.id
            talk.editing = None
            self._begin(talk, partial(talk.chat.edit, edited, text), text)
        else:
            self._begin(talk, partial(talk.chat.send, text), text)

    def _begin(self, talk: Talk, ask: Callable[[], AsyncIterator[Said]], text: str = "") -> None:
        if talk is self._talk:
            self.notice.close()
        talk.begin()
        self._answers[talk] = self._answer(talk, ask, text)

    @work(group="answers", exit_on_error=False)
    async def _answer(self, talk: Talk, ask: Callable[[], AsyncIterator[Said]], text: str) -> None:
        asked = False
        try:
            # Where nobody can be asked, nothing is said yet: the text goes back to the field.
            await self.services.inference.warm()
            asked = True
            await talk.answer(ask())
        except Exception as error:  # noqa: BLE001 (whatever it is: what has come is kept)
            self._failed(talk, as_torbiz_error(error))
        finally:
            if not asked:
                self._give_back(talk, text)
            del self._answers[talk]
            talk.rest()
            self._panes.conversations_changed()
            self._ask_waiting(talk)

    def _failed(self, talk: Talk, error: TorbizError) -> None:
        talk.error = error
        if isinstance(error, NotServedError):
            self.hindered(error)
        if talk is self._talk:
            self.notice.show_error(error)
        else:
            self.notify(f"{talk.title}: {error.what}", severity="error", markup=False)

    def _give_back(self, talk: Talk, text: str) -> None:
        if not text:
            return
        if talk is self._talk:
            self.view.put_back(text)
        else:
            talk.draft = f"{text}\n{talk.draft}" if talk.draft.strip() else text

    def _ask_waiting(self, talk: Talk) -> None:
        text, talk.waiting = talk.waiting, ""
        if not text:
            return
        here = (self.services.inference.model, self.services.inference.local)
        as_before = here == (talk.chat.conversation.model, talk.local)
        if talk.error is None and not talk.stopped and as_before:
            self._begin(talk, partial(talk.chat.send, text), text)
        else:
            self._give_back(talk, text)

    @work(group="stop", exit_on_error=False)
    async def _stop(self, talk: Talk) -> None:
        talk.stopped = True
        if len(self._answers) == 1 and talk.chat.answering:
            await talk.chat.stop()
        elif (answer := self._answers.get(talk)) is not None:
            # The service stops all answers at once; who stops receiving stops only this one.
            answer.cancel()

    @on(TalkView.Again)
    def _again(self, event: TalkView.Again) -> None:
        talk = self._talk
        if talk.answering:
            self.notify(BUSY, markup=False)
        elif not self.refuses():
            self._begin(talk, partial(talk.chat.regenerate, event.turn))

    @on(TalkView.Branch)
    @work(group="branch", exclusive=True, exit_on_error=False)
    async def _branch(self, event: TalkView.Branch) -> None:
        if self._talk.answering:
            self.notify(BUSY, markup=False)
            return
        await self._talk.chat.choose_branch(event.turn, event.step)
        self.view.update_talk(self.model_name)
        self.view.select_version(event.turn)

    # The list of conversations, and the options

    @on(ConversationList.Opened)
    @work(group="open", exclusive=True, exit_on_error=False)
    async def _opened(self, event: ConversationList.Opened) -> None:
        talk = self._talks.get(event.conversation)
        if talk is None:
            talk = self._talk_of(await self.services.history.load(event.conversation))
        if talk is not self._talk:
            self.notice.close()
            self._show(talk)
        self.view.field.focus()
        if event.turn is not None:
            await self._go_to(talk, event.turn)

    async def _go_to(self, talk: Talk, turn: int) -> None:
        """Show a message that a search has found, on whatever branch it is."""
        if all(known.id != turn for known in talk.chat.turns) and not talk.answering:
            await talk.chat.choose_turn(turn)
            self.view.update_talk(self.model_name)
        self.view.go_to(turn)

    @on(ConversationList.Renamed)
    def _renamed(self, event: ConversationList.Renamed) -> None:
        if (talk := self._talks.get(event.conversation)) is not None:
            self._rename(talk, event.title)

    @work(group="rename", exit_on_error=False)
    async def _rename(self, talk: Talk, title: str) -> None:
        await talk.chat.rename(title)
        self._panes.conversations_changed()
        self.show_model()

    @on(ConversationList.Deleted)
    def _deleted(self, event: ConversationList.Deleted) -> None:
        talk = self._talks.pop(event.conversation, None)
        if talk is None:
            return
        if talk.answering:
            self._stop(talk)
        if talk is self._talk:
            self._show(self._new_talk())
            self._panes.back_to_list()

    @on(ConversationList.Failed)
    def _list_failed(self, event: ConversationList.Failed) -> None:
        self.notice.show_error(event.error)

    @on(SettingsPanel.Changed)
    def _settings_changed(self, event: SettingsPanel.Changed) -> None:
        settings = event.settings
        self._panes.show_settings(settings)
        self._change(self._talk, system_prompt=settings.system_prompt, options=settings.options)

    @work(group="settings", exit_on_error=False)
    async def _change(
        self,
        talk: Talk,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
        options: GenerateOptions | None = None,
    ) -> None:
        await talk.chat.change(model=model, system_prompt=system_prompt, options=options)

    # What the person does

    def action_stop(self) -> None:
        """Stop the answer; else leave editing, close the message, or go back to the field."""
        talk = self._talk
        if talk.answering:
            self._stop(talk)
        elif talk.editing is not None:
            self.view.leave_editing()
        elif self.notice.shown:
            self.notice.close()
        else:
            self.view.field.focus()

    def action_new_conversation(self) -> None:
        """Begin another conversation; this one is kept, and its answer goes on."""
        self.notice.close()
        self._show(self._new_talk())

    def action_conversations(self) -> None:
        """Show or hide the conversations."""
        self._panes.toggle_list()

    def action_find(self) -> None:
        """Search in all conversations."""
        self._panes.toggle_list(find=True)

    def action_options(self) -> None:
        """Show or hide the options."""
        self._panes.toggle_settings()

    def action_again(self) -> None:
        """Answer the selected question again, or the last one."""
        self.view.action_again()

    def action_copy(self) -> None:
        """Copy the selected message, or the last answer."""
        self.view.action_copy()

    def action_select(self) -> None:
        """Put the keys to the messages."""
        self.view.select()

    def action_page_up(self) -> None:
        """Scroll the conversation; the field keeps the keys."""
        self.view.page(-1)

    def action_page_down(self) -> None:
        """Scroll the conversation; the field keeps the keys."""
        self.view.page(1)

    def action_rename(self) -> None:
        """Give the conversation another title."""
        from torbiz_tui.screens.title import TitleScreen

        talk = self._talk

        def answered(title: str | None) -> None:
            if title:
                self._rename(talk, title)

        self.app.push_screen(TitleScreen(talk.title), answered)

    @on(TalkView.Export)
    def action_export(self) -> None:
        """Write the conversation to a file."""
        from torbiz_tui.inference.export import write_export
        from torbiz_tui.screens.export import ExportScreen

        talk = self._talk

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
        from torbiz_tui.clipboard import copy_locally

        self.app.copy_to_clipboard(event.text)
        here = await copy_locally(event.text)
        self.notify(COPIED_HERE if here else COPIED, title=event.title, markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what there is something for."""
        if action in ("again", "copy", "select"):
            return bool(self._talk.chat.turns)
        if action == "share_missing":
            return self.can_share_missing
        return super().check_action(action, parameters)

    def would_lose(self) -> list[str]:
        """A text of more than a line that was not sent; answers are kept as far as they came."""
        typed = [talk.draft for talk in self._talks.values() if talk is not self._talk]
        if self.is_mounted:
            typed.append(self.view.field.question)
        long = [text for text in typed if len(text.strip()) > _LONG_TEXT or "\n" in text.strip()]
        if not long:
            return []
        losses = ["Your question is not sent yet."]
        if self._answers:
            losses.append("An answer is being written; what has come of it is kept.")
        return losses

    def palette_commands(self) -> Iterable[SystemCommand]:
        """What can be done with the conversation."""
        return ask_commands(self)
