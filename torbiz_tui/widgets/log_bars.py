"""The lines in which a person types what a log is searched for, filtered by, or gone to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from torbiz_tui.errors import TorbizError
from torbiz_tui.widgets import keys

_TYPING_S = 0.15
_REMEMBERED = 50
# Closing lays out the whole screen, and what was asked for is to be seen first.
_LATER_S = 0.2


class BarMessage(Message):
    """Something was done in a bar."""

    def __init__(self, bar: LogBar) -> None:
        super().__init__()
        self.bar = bar

    @property
    def control(self) -> LogBar:
        """The bar."""
        return self.bar


class LogBar(Vertical):
    """A field with a name, what was typed in it before, and room for what is wrong."""

    NAME: ClassVar[str]
    PLACEHOLDER: ClassVar[str]
    BINDINGS = [*keys.LOG_FIELDS]
    DEFAULT_CSS = """
    LogBar { height: auto; display: none; padding: 0 1; }
    LogBar.-shown { display: block; }
    LogBar Horizontal { height: 1; }
    LogBar Input { width: 1fr; }
    LogBar .name { width: auto; padding: 0 1 0 0; color: $text-accent; text-style: bold; }
    LogBar .note { width: auto; padding: 0 0 0 1; color: $text-muted; }
    LogBar .problem { height: auto; color: $text-error; display: none; }
    LogBar .problem.-shown { display: block; }
    """

    class Typed(BarMessage):
        """The text is another one, and nothing was typed for a moment."""

    class Entered(BarMessage):
        """The text is meant as it stands."""

    class Left(BarMessage):
        """Nobody wants it any more."""

    def __init__(self) -> None:
        super().__init__()
        self._earlier: list[str] = []
        self._recalled = 0
        self._typing: Timer | None = None
        self._open = False
        self._leaving: Timer | None = None

    def compose(self) -> Iterator[Widget]:
        """Name, field, note, and below them what is wrong."""
        with Horizontal():
            yield Static(self.NAME, classes="name", markup=False)
            yield Input(placeholder=self.PLACEHOLDER, compact=True)
            yield Static("", classes="note", markup=False)
        yield Static(classes="problem", markup=False)

    @property
    def field(self) -> Input:
        """Where it is typed."""
        return self.query_one(Input)

    @property
    def text(self) -> str:
        """What is typed."""
        return self.field.value

    @property
    def shown(self) -> bool:
        """Whether it is open."""
        return self._open

    def open(self, text: str = "") -> None:
        """Show it with a text that is replaced by typing."""
        self._recalled = len(self._earlier)
        with self.prevent(Input.Changed):
            self.field.value = text
        self.tell(None)
        self._open = True
        self._stop_closing()
        self.add_class("-shown")
        self.field.focus()
        self.field.select_all()

    def close(self, *, later: bool = False) -> None:
        """Hide it; `later`: nobody types in it any more, but it goes only in a moment."""
        self._stop_typing()
        self._stop_closing()
        self._open = False
        if later:
            self._leaving = self.set_timer(_LATER_S, self._hide)
        else:
            self._hide()

    def _hide(self) -> None:
        self._leaving = None
        self.remove_class("-shown")

    def _stop_closing(self) -> None:
        if self._leaving is not None:
            self._leaving.stop()
            self._leaving = None

    def tell(self, error: TorbizError | None) -> None:
        """Say what is wrong with the text, or that nothing is."""
        problem = self.query_one(".problem", Static)
        problem.set_class(error is not None, "-shown")
        if error is not None:
            rest = " ".join(part for part in (error.why, error.remedy) if part)
            problem.update(Content.assemble(("✗ " + error.what, "bold"), f" {rest}"))

    def remember(self) -> None:
        """Keep the text for `up`."""
        text = self.text.strip()
        if text:
            others = [one for one in self._earlier if one != text]
            self._earlier = [*others[-_REMEMBERED:], text]
        self._recalled = len(self._earlier)

    def action_recall(self, direction: int) -> None:
        """Put an earlier or a later text into the field."""
        at = self._recalled + direction
        if 0 <= at <= len(self._earlier):
            self._recalled = at
            self.field.value = self._earlier[at] if at < len(self._earlier) else ""
            self.field.cursor_position = len(self.field.value)

    def action_regex(self) -> None:
        """Take the text in another way, where there is one."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is searched for may be a regular expression."""
        if action == "regex":
            return isinstance(self, LogSearchBar)
        return super().check_action(action, parameters)

    def action_leave(self) -> None:
        """Close it without what was typed."""
        self.post_message(self.Left(self))

    @on(Input.Changed)
    def _changed(self) -> None:
        self._stop_typing()
        self._typing = self.set_timer(_TYPING_S, self._tell_typed)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._stop_typing()
        self.post_message(self.Entered(self))

    def _tell_typed(self) -> None:
        self._typing = None
        self.post_message(self.Typed(self))

    def _stop_typing(self) -> None:
        if self._typing is not None:
            self._typing.stop()
            self._typing = None


class LogSearchBar(LogBar):
    """What is searched for, as a text or a regular expression."""

    NAME = "Search"
    PLACEHOLDER = "Capitals matter if there are any; ^r regular expression, ↑ earlier"

    def __init__(self) -> None:
        super().__init__()
        self.regex = False
        """Whether it is a regular expression."""

    def action_regex(self) -> None:
        """Take the text as a regular expression, or as it is."""
        self.regex = not self.regex
        self.query_one(".name", Static).update("Regex" if self.regex else self.NAME)
        self.post_message(self.Typed(self))


class LogFilterBar(LogBar):
    """What lines have to be."""

    NAME = "Filter"
    PLACEHOLDER = "level:warning source:server since:10m until:12:30 a text or /a regex/"


class LogTimeBar(LogBar):
    """A moment to go to."""

    NAME = "Go to"
    PLACEHOLDER = "12:30, 12:30:05, 10m (ago), yesterday 12:30, 2026-11-24 12:30"
