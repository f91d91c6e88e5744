"""Ask: conversations with the models of the swarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from torbiz_tui.screens.ask_panes import AskPanes
from torbiz_tui.screens.ask_view import TalkView
from torbiz_tui.screens.talking import TalkingScreen
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.answer_settings import AnswerSettings
from torbiz_tui.widgets.question_input import QuestionInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import SystemCommand

    from torbiz_tui.assembly import Services
    from torbiz_tui.inference.events import GenerateOptions, StageChanged
    from torbiz_tui.screens.ask_talk import Talk
    from torbiz_tui.troubleshooting.symptom import Explanation
    from torbiz_tui.widgets.conversation_list import ConversationList
    from torbiz_tui.widgets.settings_panel import SettingsPanel

_LONG_TEXT = 80
_RECALLED = 1000
BUSY = "An answer is being written; Escape stops it."


class AskScreen(TalkingScreen):
    """Questions and answers; an answer goes on while another conversation or screen is shown."""

    MODE = "ask"
    PURPOSE = (
        "Conversations with a model that a swarm serves. The answer is written as it comes; Escape "
        "stops it. What is said is kept in this folder's history up to the last word received. The "
        "line above the field says which servers hold which blocks of the model."
    )
    CSS_PATH = "ask.tcss"
    AUTO_FOCUS = "#question"
    BINDINGS = [*keys.ASK]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.view = TalkView()
        self._panes = AskPanes(services, self.view)
        self._shown: Talk | None = None
        self._fresh: Talk | None = None

    def compose_body(self) -> Iterator[Widget]:
        """Who answers, then the panes."""
        yield Static(self.model_line(), id="model", markup=False)
        yield self._panes

    def on_mount(self) -> None:
        """Be ready to type; what a conversation needs is loaded after the first paint."""
        self.view.show_welcome(self._welcome())
        self.view.field.focus()
        self.call_after_refresh(self._ready)

    def _ready(self) -> None:
        if self._shown is None:
            self.action_new_conversation()
        self._load_earlier()

    @work(group="earlier", exit_on_error=False)
    async def _load_earlier(self) -> None:
        self.view.field.set_earlier(await self.services.history.inputs(_RECALLED))

    # The conversation that is shown

    @property
    def talk(self) -> Talk:
        """The conversation that is shown."""
        if self._shown is None:
            self.action_new_conversation()
            assert self._shown is not None
        return self._shown

    def _show(self, talk: Talk) -> None:
        self._shown = talk
        if talk.id:
            self.talks[talk.id] = talk
        now = talk.chat.conversation
        if now.model:
            self.choose(now.model, local=talk.local, adapter=now.options.adapter)
        self.view.show_welcome(self._welcome())
        self.view.show(talk, self.model_name)
        self._panes.show_settings(AnswerSettings(now.system_prompt, now.options, talk.local))
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
        return self._shown.title if self._shown is not None else ""

    def warming(self, now: StageChanged) -> None:
        """The runner does this now."""
        self.view.warming(now.title, now.text)

    def model_chosen(self) -> None:
        """The conversation goes on with another model."""
        inference = self.services.inference
        self.talk.local = inference.local
        now = self.talk.chat.conversation
        options = replace(now.options, adapter=inference.adapter)
        self._panes.show_settings(AnswerSettings(now.system_prompt, options, inference.local))
        self._change(self.talk, model=inference.model, options=options, local=inference.local)
        self.view.show_welcome(self._welcome())
        self.view.update_talk(self.model_name)

    def problem(self) -> Explanation | None:
        """Also that of the answer that failed last, when its message was closed."""
        told = super().problem()
        failed = self._shown.error if self._shown is not None else None
        if told is None and failed is None:
            return None
        from torbiz_tui.troubleshooting.recognising import explained, without_server

        if told is None and failed is not None:
            told = explained(failed)
        return without_server(told) if told is not None else None

    # What goes on in conversations

    def talk_changed(self, talk: Talk) -> None:
        """Show it where it is the one that is shown."""
        if talk.id and talk.id not in self.talks:
            self.talks[talk.id] = talk
            self._panes.conversations_changed()
        if talk is self._shown:
            self._panes.show_current(talk.id)
            self.view.update_talk(self.model_name)
            self.show_model()
            self.refresh_bindings()

    def talk_does(self, talk: Talk) -> None:
        """Say what goes on in the one that is shown."""
        if talk is self._shown:
            self.view.show_doing()

    def talk_wrote(self, talk: Talk, key: int, text: str) -> None:
        """A piece of an answer has come."""
        if talk is self._shown:
            self.view.write(key, text)

    def list_changed(self) -> None:
        """Show the list as it is now."""
        self._panes.conversations_changed()

    def put_back(self, text: str) -> None:
        """Put a text that was not asked back into the field."""
        self.view.put_back(text)

    # Asking

    @on(QuestionInput.Sent)
    def _sent(self, event: QuestionInput.Sent) -> None:
        talk, text = self.talk, event.text
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
            self.begin(talk, partial(talk.chat.edit, edited, text), text)
        else:
            self.begin(talk, partial(talk.chat.send, text), text)

    @on(TalkView.Again)
    def _again(self, event: TalkView.Again) -> None:
        talk = self.talk
        if talk.answering:
            self.notify(BUSY, markup=False)
        elif not self.refuses():
            self.begin(talk, partial(talk.chat.regenerate, event.turn))

    @on(TalkView.Branch)
    @work(group="branch", exclusive=True, exit_on_error=False)
    async def _branch(self, event: TalkView.Branch) -> None:
        if self.talk.answering:
            self.notify(BUSY, markup=False)
            return
        await self.talk.chat.choose_branch(event.turn, event.step)
        self.view.update_talk(self.model_name)
        self.view.select_version(event.turn)

    # The list of conversations, and the options

    @work(group="open", exclusive=True, exit_on_error=False)
    async def on_conversation_list_opened(self, event: ConversationList.Opened) -> None:
        """Go on with a conversation, at the message that a search has found."""
        talk = self.talks.get(event.conversation)
        if talk is None:
            talk = self.talk_of(await self.services.history.load(event.conversation))
        if talk is not self._shown:
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

    def on_conversation_list_renamed(self, event: ConversationList.Renamed) -> None:
        """Show the title that the list has given."""
        if (talk := self.talks.get(event.conversation)) is not None:
            self.rename_talk(talk, event.title)

    def on_conversation_list_deleted(self, event: ConversationList.Deleted) -> None:
        """Show another one instead."""
        talk = self.talks.pop(event.conversation, None)
        if talk is None:
            return
        if talk.answering:
            self.stop(talk)
        if talk is self._shown:
            self.action_new_conversation()
            self._panes.back_to_list()

    def on_conversation_list_failed(self, event: ConversationList.Failed) -> None:
        """Say that the history could not be used."""
        self.notice.show_error(event.error)

    def on_settings_panel_changed(self, event: SettingsPanel.Changed) -> None:
        """Keep the options with the conversation."""
        settings = event.settings
        self._panes.show_settings(settings)
        inference, adapter = self.services.inference, settings.options.adapter
        self._change(self.talk, system_prompt=settings.system_prompt, options=settings.options)
        if inference.model and not inference.local:
            self.choose(inference.model, local=False, adapter=adapter)

    @work(group="settings", exit_on_error=False)
    async def _change(
        self,
        talk: Talk,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
        options: GenerateOptions | None = None,
        local: bool | None = None,
    ) -> None:
        await talk.chat.change(
            model=model, system_prompt=system_prompt, options=options, local=local
        )

    # What the person does

    def action_stop(self) -> None:
        """Stop the answer; else leave editing, close the message, or go back to the field."""
        talk = self.talk
        if talk.answering:
            self.stop(talk)
        elif talk.editing is not None:
            self.view.leave_editing()
        elif self.notice.shown:
            self.notice.close()
        else:
            self.view.field.focus()

    def action_new_conversation(self) -> None:
        """Begin another conversation; this one is kept, and its answer goes on."""
        self.notice.close()
        if self._fresh is None or self._fresh.chat.turns or self._fresh.answering:
            self._fresh = self.new_talk()
        # One that was begun and not asked yet is gone on with: its text must not be lost.
        self._show(self._fresh)

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

    def action_show_swarm(self) -> None:
        """Show who serves the blocks of the model."""
        from torbiz_tui.screens.swarm import SwarmScreen

        self.app.push_screen(SwarmScreen(self.services, self.services.inference.model))

    def action_page_up(self) -> None:
        """Scroll the conversation; the field keeps the keys."""
        self.view.page(-1)

    def action_page_down(self) -> None:
        """Scroll the conversation; the field keeps the keys."""
        self.view.page(1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what there is something for."""
        if action in ("again", "copy", "select"):
            return self._shown is not None and bool(self._shown.chat.turns)
        if action == "share_missing":
            return self.can_share_missing
        return super().check_action(action, parameters)

    def would_lose(self) -> list[str]:
        """A text of more than a line that was not sent; answers are kept as far as they came."""
        typed = [talk.draft for talk in self.talks.values() if talk is not self._shown]
        if self.is_mounted:
            typed.append(self.view.field.question)
        long = [text for text in typed if len(text.strip()) > _LONG_TEXT or "\n" in text.strip()]
        if not long:
            return []
        losses = ["Your question is not sent yet."]
        if self.answers:
            losses.append("An answer is being written; what has come of it is kept.")
        return losses

    def palette_commands(self) -> Iterable[SystemCommand]:
        """What can be done with the conversation."""
        from torbiz_tui.screens.ask_commands import ask_commands

        return ask_commands(self)
