"""The middle of the Ask screen: the conversation, what goes on in it, and the field."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import duration, whole_seconds
from torbiz_tui.widgets.question_input import QuestionInput
from torbiz_tui.widgets.route_line import RouteLine
from torbiz_tui.widgets.transcript import Entry, Transcript

if TYPE_CHECKING:
    from torbiz_tui.screens.ask_talk import Talk

_TICK_S = 0.1
_WAITING_CHARS = 60


class TalkView(Vertical):
    """Shows a talk; what is done with its messages is done here or asked of the screen."""

    BINDINGS = [*keys.MESSAGES]

    class Again(Message):
        """Answer the question of this turn again."""

        def __init__(self, turn: int) -> None:
            super().__init__()
            self.turn = turn

    class Branch(Message):
        """Show the version of this turn that is `step` further."""

        def __init__(self, turn: int, step: int) -> None:
            super().__init__()
            self.turn = turn
            self.step = step

    class Copy(Message):
        """Send this text to the clipboards; `title` says what it is."""

        def __init__(self, text: str, title: str) -> None:
            super().__init__()
            self.text = text
            self.title = title

    class Export(Message):
        """Write the conversation to a file."""

    def __init__(self) -> None:
        super().__init__(id="talk")
        self._welcome = Content("")
        self._talk: Talk | None = None
        self._entries: list[Entry] = []
        self._warming = ("", "", 0.0)
        self._said = Content("")
        self._code = (0, -1)

    def compose(self) -> Iterator[Widget]:
        """From the oldest message down to the field."""
        yield Static(self._welcome, id="welcome", markup=False)
        yield Transcript(id="transcript")
        yield Static(id="doing", markup=False)
        yield Static(id="state", markup=False)
        yield RouteLine()
        yield QuestionInput()

    def on_mount(self) -> None:
        """Let the time that something takes be seen."""
        self.set_interval(_TICK_S, self.show_doing)

    @property
    def transcript(self) -> Transcript:
        """The messages."""
        return self.query_one(Transcript)

    @property
    def field(self) -> QuestionInput:
        """Where the question is written."""
        return self.query_one(QuestionInput)

    # What is shown

    def show(self, talk: Talk, next_model: str) -> None:
        """Show another talk; what was typed in the one before stays with it."""
        if self._talk is not None:
            self._talk.draft = self.field.text
        self._talk = talk
        self._entries = talk.entries(next_model)
        self.transcript.show(self._entries)
        self.field.text = talk.draft
        self.field.move_cursor(self.field.document.end)
        self.field.focus()
        self._show_rest()

    def show_welcome(self, welcome: Content) -> None:
        """What an empty conversation says."""
        if welcome != self._welcome:
            self._welcome = welcome
            self.query_one("#welcome", Static).update(welcome)

    def update_talk(self, next_model: str) -> None:
        """Show what is new in the talk; what stays is not touched."""
        if self._talk is None:
            return
        before, self._entries = self._entries, self._talk.entries(next_model)
        same = 0
        for old, new in zip(before, self._entries, strict=False):
            if old.key != new.key or old.role != new.role:
                break
            if old != new:
                self._change(old, new)
            same += 1
        fresh = self._entries[same:]
        if same < len(before):
            self.transcript.replace_from(before[same].key, fresh)
        else:
            for entry in fresh:
                self.transcript.add(entry)
        self._show_rest()

    def _change(self, old: Entry, new: Entry) -> None:
        fields = {
            name: getattr(new, name)
            for name in ("heading", "note", "branch")
            if getattr(new, name) != getattr(old, name)
        }
        if new.text != self.transcript.text_of(new.key):
            fields["text"] = new.text
        if fields:
            self.transcript.change(new.key, **fields)

    def write(self, key: int, text: str) -> None:
        """Show the next piece of an answer."""
        self.transcript.write(key, text)

    def warming(self, stage: str, doing: str) -> None:
        """Say how far the runner is while nothing is asked; empty for nothing.

        The time counts from when the stage began.
        """
        before, _, since = self._warming
        self._warming = (stage, doing, since if stage == before else time.monotonic())
        self.show_doing()

    def _show_rest(self) -> None:
        self.query_one("#welcome").display = not self._entries
        self.transcript.display = bool(self._entries)
        self.show_doing()
        self._show_state()

    def show_doing(self) -> None:
        """Say what goes on, and for how long already."""
        talk = self._talk
        line = self.query_one("#doing", Static)
        answering = talk is not None and talk.answering
        if talk is not None and talk.doing:
            doing, since, tenths = talk.doing, talk.since, talk.tenths
        else:
            (_, doing, since), tenths = self._warming, False
        line.display = bool(doing)
        if doing:
            taken = time.monotonic() - since
            shown = duration(taken) if tenths and taken >= _TICK_S else whole_seconds(taken)
            parts: list[str | tuple[str, str]] = [(f"▸ {doing}… ", "$text-accent"), shown]
            if answering:
                parts.append(("  Escape stops it", "dim"))
            said = Content.assemble(*parts)
            if said != self._said:
                self._said = said
                # One row, whatever it says: the screen needs no new layout.
                line.update(said, layout=False)

    def _show_state(self) -> None:
        talk = self._talk
        text = ""
        if talk is not None and talk.editing is not None:
            text = "Editing a question: Enter asks anew, Escape leaves it as it was."
        elif talk is not None and talk.waiting:
            first = talk.waiting.strip().split("\n", 1)[0]
            short = first if len(first) <= _WAITING_CHARS else first[: _WAITING_CHARS - 1] + "…"
            text = f"Asked next: “{short}”. Escape takes it back too."
        line = self.query_one("#state", Static)
        line.display = bool(text)
        line.update(text)
        self.field.set_class(talk is not None and talk.editing is not None, "-editing")

    # What is done with messages

    def _chosen(self) -> int | None:
        """The selected message, else the last answer, else the last question."""
        if self.transcript.selected is not None:
            return self.transcript.selected
        messages = [entry for entry in self._entries if entry.role != "rule"]
        answers = [entry.key for entry in messages if entry.role == "assistant"]
        return answers[-1] if answers else messages[-1].key if messages else None

    def action_copy(self) -> None:
        """Copy the message as it was written."""
        key = self._chosen()
        if key is not None and (text := self.transcript.text_of(key)):
            role = next(entry.role for entry in self._entries if entry.key == key)
            self.post_message(self.Copy(text, "Question" if role == "user" else "Answer"))

    def action_copy_code(self) -> None:
        """Copy a code block of the message, each time the next one."""
        key = self._chosen()
        blocks: Sequence[str] = self.transcript.code_blocks(key) if key is not None else ()
        if key is None or not blocks:
            self.notify("There is no code block in this message.", markup=False)
            return
        last = self._code[1] if self._code[0] == key else -1
        number = (last + 1) % len(blocks)
        self._code = (key, number)
        of_how_many = f" {number + 1} of {len(blocks)}" if len(blocks) > 1 else ""
        self.post_message(self.Copy(blocks[number], f"Code block{of_how_many}"))

    def action_again(self) -> None:
        """Answer the question of the message again."""
        if (key := self._chosen()) is not None:
            self.post_message(self.Again(key))

    def action_edit(self) -> None:
        """Put the question of the message into the field, to be asked in other words."""
        talk, key = self._talk, self._chosen()
        if talk is None or key is None:
            return
        questions = []
        for turn in talk.chat.turns:
            if turn.role == "user":
                questions.append(turn)
            if turn.id == key:
                break
        if not questions:
            return
        if talk.editing is None:
            talk.set_aside = self.field.text
        talk.editing = questions[-1]
        self.field.put(talk.editing.content)
        self.field.focus()
        self._show_state()

    def leave_editing(self) -> None:
        """Put what was typed before back into the field."""
        if self._talk is not None and self._talk.editing is not None:
            self._talk.editing = None
            self.field.text = self._talk.set_aside
            self.field.move_cursor(self.field.document.end)
            self._show_state()

    def action_branch(self, step: int) -> None:
        """Show another version of the message, or of the last that has one."""
        key = self.transcript.selected
        if key is None:
            versions = [entry.key for entry in self._entries if entry.branch is not None]
            key = versions[-1] if versions else None
        if key is not None:
            self.post_message(self.Branch(key, step))

    def action_export(self) -> None:
        """Write the conversation to a file."""
        self.post_message(self.Export())

    def select(self) -> None:
        """Put the keys to the messages, the last one selected."""
        if self._entries:
            self.transcript.focus()
            if self.transcript.selected is None:
                self.transcript.select_previous()

    def select_version(self, turn: int) -> None:
        """Select the version that stands where a turn stood."""
        versions = [entry.key for entry in self._entries if turn in self._siblings(entry.key)]
        if versions and self.transcript.has_focus:
            self.transcript.select(versions[0])

    def _siblings(self, key: int) -> Sequence[int]:
        turns = self._talk.chat.turns if self._talk is not None else ()
        return next((turn.siblings for turn in turns if turn.id == key), ())

    def go_to(self, turn: int) -> None:
        """Select a message, and put the keys to it."""
        if any(entry.key == turn for entry in self._entries):
            self.transcript.focus()
            self.transcript.select(turn)

    def put_back(self, text: str) -> None:
        """Put a text that was not asked before what has been typed meanwhile."""
        typed = self.field.question
        self.field.put(f"{text}\n{typed}" if typed.strip() else text)

    def page(self, direction: int) -> None:
        """Scroll a page; the field keeps the keys."""
        self.transcript.action_page(direction)

    @on(Transcript.Selected)
    def _selection_changed(self) -> None:
        self._code = (0, -1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of messages are letters: they count only where nothing is typed."""
        names = ("copy", "copy_code", "again", "edit", "branch", "export")
        if action in names:
            return self.is_mounted and self.transcript.has_focus
        return super().check_action(action, parameters)
