"""Ask: a conversation with a model of the swarm."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import SystemCommand
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static, TextArea

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    STAGE_TITLES,
    AnswerDone,
    GenerateOptions,
    Message,
    StageChanged,
    TokenReceived,
)
from torbiz_tui.screens.base import ModeScreen, as_torbiz_error
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import whole_seconds
from torbiz_tui.widgets.header import swarm_of
from torbiz_tui.widgets.question_input import QuestionInput

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.sharing.state import SharingState
    from torbiz_tui.widgets.answer import Answer, Question

_TICK_S = 0.25
_LONG_TEXT = 80
DEMO_NOTE = "demo model: knows only this program's documentation"
COPIED = "Sent to the clipboard (your terminal decides whether it takes it)."


class AskScreen(ModeScreen):
    """Questions go out with the whole conversation; answers come in piece by piece."""

    MODE = "ask"
    PURPOSE = (
        "A conversation with a model that a swarm serves. The answer is written as it comes; "
        "Escape stops it. The whole conversation is sent with every question, until you begin a "
        "new one."
    )
    CSS_PATH = "ask.tcss"
    BINDINGS = [*keys.ASK]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._history: list[Message] = []
        self._last_answer = ""
        self._answering = False
        self._answer: Answer | None = None
        self._doing = ""
        self._since = 0.0
        self._warmed = False
        self._model_shown = Content("")

    def compose_body(self) -> Iterator[Widget]:
        """Who answers, the conversation, what goes on, and the field."""
        self._model_shown = self._model_line()
        yield Static(self._model_shown, id="model", markup=False)
        with VerticalScroll(id="conversation"):
            yield Static(self._welcome(), id="welcome", markup=False)
        yield Static(id="doing", markup=False)
        yield QuestionInput()

    def on_mount(self) -> None:
        """Be ready to type."""
        self.query_one("#conversation").anchor()
        self.query_one(QuestionInput).focus()
        self.set_interval(_TICK_S, self._tick)
        self._watch_stages()

    # Who answers

    def sharing_changed(self, state: SharingState) -> None:
        """Without a configured model, what this machine serves is asked."""
        if not self.services.inference.model and state.active and state.spec is not None:
            self.services.inference.choose(state.spec.source)
        self._show_model()

    def _show_model(self) -> None:
        line = self._model_line()
        if line != self._model_shown:
            self._model_shown = line
            self.query_one("#model", Static).update(line)

    def _model_line(self) -> Content:
        model = self._model_name
        parts: list[str | tuple[str, str]] = [(model or "no model chosen", "bold")]
        swarm = swarm_of(self.services).split(",")[0]
        parts.append((f" · {swarm}", "dim"))
        if self._is_demo:
            parts.append((f" · {DEMO_NOTE}", "$text-warning"))
        return Content.assemble(*parts)

    @property
    def _model_name(self) -> str:
        model = self.services.inference.model
        spec = self.services.sharing.state.spec
        return spec.model if spec is not None and spec.source == model else model

    @property
    def _is_demo(self) -> bool:
        from torbiz_tui.catalogue import DEMO_MODEL

        return self._model_name == DEMO_MODEL

    def _welcome(self) -> Content:
        parts: list[str | tuple[str, str]] = [("Ask a question below.", "bold")]
        if self._is_demo:
            parts.append(
                "\n\nThis is a small demo model that was trained on the documentation of this "
                "program and knows nothing else. Try one of these:\n"
                "\n  What is Petals?"
                "\n  How do I share my machine?"
                "\n  Do I need Docker?"
            )
        return Content.assemble(*parts)

    # What goes on

    @work(group="stages", exclusive=True, exit_on_error=False)
    async def _watch_stages(self) -> None:
        with self.services.inference.subscribe() as stages:
            async for change in stages:
                self._stage_changed(change.stage)

    def _stage_changed(self, stage: str) -> None:
        if self._answer is not None and self._answer.pieces:
            return
        title = STAGE_TITLES.get(stage, "")
        if stage == "ready":
            self._do("Waiting for the first word" if self._answering else "")
        elif stage:
            self._do(title or stage)
        elif not self._answering:
            self._do("")

    def _do(self, doing: str) -> None:
        if doing != self._doing:
            self._doing = doing
            self._since = time.monotonic()
            self._tick()

    def _tick(self) -> None:
        line = self.query_one("#doing", Static)
        line.set_class(bool(self._doing), "-shown")
        if not self._doing:
            return
        parts: list[str | tuple[str, str]] = [
            (f"▸ {self._doing}… ", "$text-accent"),
            whole_seconds(time.monotonic() - self._since),
        ]
        if self._answering:
            parts.append(("  Escape stops it", "dim"))
        line.update(Content.assemble(*parts))

    # Warming up

    @on(TextArea.Changed, "#question")
    def _typing(self) -> None:
        """Who types will ask: the runner loads meanwhile."""
        ready = self.services.inference.stage != ""
        if not self._warmed and not ready and self.query_one(QuestionInput).text.strip():
            self._warmed = True
            self._warm()

    @work(group="warm", exclusive=True, exit_on_error=False)
    async def _warm(self) -> None:
        try:
            await self.services.inference.warm()
        except TorbizError as error:
            if not self._answering:
                self.notice.show_error(error)

    # Asking

    @on(QuestionInput.Sent)
    def _sent(self, event: QuestionInput.Sent) -> None:
        if self._answering:
            self.notify("An answer is being written; Escape stops it.", markup=False)
            return
        self._answering = True
        self.query_one(QuestionInput).clear()
        self._ask(event.text)

    @work(group="ask", exit_on_error=False)
    async def _ask(self, text: str) -> None:
        # The Markdown widget is costly to import, and needed only from here on.
        from torbiz_tui.widgets.answer import Answer, Question

        self.notice.close()
        self.query("#welcome").remove()
        question, answer = Question(text), Answer(self._model_name)
        conversation = self.query_one("#conversation", VerticalScroll)
        await conversation.mount(question, answer)
        conversation.anchor()
        self._answer = answer
        self._do("Asking")
        self.refresh_bindings()
        try:
            await self._receive(text, answer)
        except Exception as error:  # noqa: BLE001 (whatever it is: the part that came is kept)
            await self._failed(text, question, answer, as_torbiz_error(error))
        finally:
            self._answering = False
            self._answer = None
            self._do("")
            self.refresh_bindings()

    async def _receive(self, text: str, answer: Answer) -> None:
        async for event in self.services.inference.ask(self._messages(text), self._options()):
            if isinstance(event, StageChanged):
                self._stage_changed(event.stage)
            elif isinstance(event, TokenReceived):
                if not answer.pieces:
                    self._do("Writing")
                await answer.write(event.text)
            elif isinstance(event, AnswerDone):
                await self._answered(text, answer, event)

    def _messages(self, text: str) -> list[Message]:
        prompt = self.services.config.ask.system_prompt
        system = [Message("system", prompt)] if prompt else []
        return [*system, *self._history, Message("user", text)]

    def _options(self) -> GenerateOptions:
        ask = self.services.config.ask
        return GenerateOptions(ask.max_new_tokens, ask.temperature, ask.top_p, ask.seed)

    async def _answered(self, text: str, answer: Answer, done: AnswerDone) -> None:
        from torbiz_tui.widgets.answer import done_note

        await answer.finish(done_note(done))
        self._remember(text, answer)

    def _remember(self, text: str, answer: Answer) -> None:
        # A question without any answer would put two of the person's turns in a row.
        if answer.text:
            self._history += [Message("user", text), Message("assistant", answer.text)]
            self._last_answer = answer.text

    async def _failed(
        self, text: str, question: Question, answer: Answer, error: TorbizError
    ) -> None:
        if answer.text:
            await answer.finish(f"interrupted: {error}")
            self._remember(text, answer)
            self.notice.show_error(error)
            return
        await question.remove()
        await answer.remove()
        field = self.query_one(QuestionInput)
        # What was typed meanwhile is kept as well.
        field.put(f"{text}\n{field.text}" if field.text.strip() else text)
        self.notice.show_error(error)

    # What the person does

    def action_stop(self) -> None:
        """Stop the answer, or close the message."""
        if self._answering:
            self._cancel()
        else:
            self.notice.close()

    @work(group="cancel", exit_on_error=False)
    async def _cancel(self) -> None:
        await self.services.inference.cancel()

    def action_new_conversation(self) -> None:
        """Forget what was said."""
        if self._answering:
            self.notify("An answer is being written; Escape stops it.", markup=False)
            return
        self._history.clear()
        self._last_answer = ""
        self.notice.close()
        conversation = self.query_one("#conversation", VerticalScroll)
        conversation.remove_children()
        conversation.mount(Static(self._welcome(), markup=False))
        self.refresh_bindings()

    def action_copy_answer(self) -> None:
        """Send the last answer to the clipboard, as the model wrote it."""
        text = self._last_answer or (self._answer.text if self._answer is not None else "")
        if text:
            self.app.copy_to_clipboard(text)
            self.notify(COPIED, title="Last answer", markup=False)

    def action_page_up(self) -> None:
        """Scroll the conversation; the field keeps the focus."""
        self.query_one("#conversation", VerticalScroll).scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        """Scroll the conversation; the field keeps the focus."""
        self.query_one("#conversation", VerticalScroll).scroll_page_down(animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Copying needs something to copy."""
        if action == "copy_answer":
            return bool(self._last_answer)
        return super().check_action(action, parameters)

    def would_lose(self) -> list[str]:
        """An answer on its way, and a text of more than a line."""
        losses = ["An answer is being written."] if self._answering else []
        fields = self.query(QuestionInput)
        text = fields.first().text.strip() if fields else ""
        if len(text) > _LONG_TEXT or "\n" in text:
            losses.append("Your question is not sent yet.")
        return losses

    def palette_commands(self) -> Iterable[SystemCommand]:
        """What can be done with the conversation."""
        if self._answering:
            yield SystemCommand("Stop the answer", "What has come stays", self.action_stop)
        else:
            yield SystemCommand(
                "New conversation", "Forget what was said", self.action_new_conversation
            )
        if self._last_answer:
            yield SystemCommand("Copy the last answer", "", self.action_copy_answer)
