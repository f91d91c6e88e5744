"""How a conversation is answered: sampling, length, stop texts, and the system prompt."""

from __future__ import annotations

from collections.abc import Iterator

from textual import events, on
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label, Static, TextArea

from torbiz_tui.config_schema import SETTINGS
from torbiz_tui.config_values import RejectedError
from torbiz_tui.inference.events import GenerateOptions
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.widgets.answer_settings import AnswerSettings
from torbiz_tui.widgets.field import Field

_SHOWN_CHARS = 40
_NUMBERS = {
    "temperature": "Temperature",
    "top_p": "Top-p",
    "max_new_tokens": "Max tokens",
    "seed": "Seed",
}
_CHECKED = {**_NUMBERS, "adapter": "Adapter"}
_EMPTY = {"seed": "another each time", "adapter": "none"}
_EMPTY_LOCAL = "only in a swarm"
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"))


class SettingsPanel(VerticalScroll, can_focus=False):
    """Fields that are checked when they are left; a value that is not accepted changes nothing."""

    DEFAULT_CSS = """
    SettingsPanel { padding: 0 1; scrollbar-size-vertical: 1; }
    SettingsPanel .title { text-style: bold; margin: 0 0 1 0; }
    SettingsPanel Field Label { width: 13; }
    SettingsPanel Field .problem { margin: 0; }
    SettingsPanel Input { width: 1fr; }
    SettingsPanel .above { color: $text-muted; margin: 1 0 0 0; }
    SettingsPanel TextArea { height: auto; min-height: 1; max-height: 8; border: none; padding: 0; }
    SettingsPanel #stop { max-height: 4; }
    SettingsPanel #field-adapter { margin: 1 0 0 0; }
    SettingsPanel .note { color: $text-muted; margin: 1 0 0 0; }
    """

    class Changed(Message):
        """A field was left with another value that is accepted."""

        def __init__(self, settings: AnswerSettings) -> None:
            super().__init__()
            self.settings = settings

    def __init__(self, settings: AnswerSettings) -> None:
        super().__init__(id="settings")
        self._settings = settings

    def compose(self) -> Iterator[Widget]:
        """The numbers, the texts, and for how long they hold."""
        yield Static("Options", classes="title")
        for name, label in _NUMBERS.items():
            shown = Input(self._number(name), id=name, compact=True)
            shown.placeholder = _EMPTY.get(name, "")
            shown.tooltip = SETTINGS[f"ask.{name}"].doc
            yield Field(name, label, shown)
        yield Label("Stop texts, one a line", classes="above")
        stops = TextArea(self._stops(), id="stop", compact=True, tab_behavior="focus")
        stops.placeholder = "\\n is a new line in one"
        yield stops
        yield Field("stop", "")
        yield Label("System prompt", classes="above")
        yield TextArea(
            self._settings.system_prompt,
            id="system_prompt",
            compact=True,
            tab_behavior="focus",
            placeholder="What the model is told first",
        )
        adapter = Input(self._settings.options.adapter, id="adapter", compact=True)
        adapter.tooltip = SETTINGS["ask.adapter"].doc
        self._offer_adapter(adapter)
        yield Field("adapter", _CHECKED["adapter"], adapter)
        yield Static("They are kept with this conversation.", classes="note")

    def show(self, settings: AnswerSettings) -> None:
        """Fill in the settings of another conversation."""
        if settings == self._settings:
            return
        self._settings = settings
        for name in _CHECKED:
            self.query_one(f"#{name}", Input).value = self._number(name)
            self._problem(name, "")
        self._offer_adapter(self.query_one("#adapter", Input))
        self.query_one("#stop", TextArea).text = self._stops()
        self._problem("stop", "")
        self.query_one("#system_prompt", TextArea).text = settings.system_prompt

    def focus_first(self) -> None:
        """Put the cursor into the first field."""
        self.query_one("#temperature").focus()

    @on(Input.Submitted)
    def _next(self) -> None:
        self.screen.focus_next()

    @on(events.DescendantBlur)
    def check(self) -> None:
        """Take over what is accepted, and say what is not."""
        values: dict[str, object] = {}
        for name in _CHECKED:
            if (value := self._checked_number(name)) is not None:
                values[name] = value[0]
        stops = self._checked_stops()
        settings = AnswerSettings(
            self.query_one("#system_prompt", TextArea).text.strip(),
            GenerateOptions(**(self._kept() | values | {"stop": stops})),  # type: ignore[arg-type]
            self._settings.local,
        )
        if settings != self._settings:
            self._settings = settings
            self.post_message(self.Changed(settings))

    def _offer_adapter(self, field: Input) -> None:
        field.disabled = self._settings.local
        field.placeholder = _EMPTY_LOCAL if self._settings.local else _EMPTY["adapter"]

    def _kept(self) -> dict[str, object]:
        return {name: getattr(self._settings.options, name) for name in _CHECKED}

    def _number(self, name: str) -> str:
        value = getattr(self._settings.options, name)
        return "" if value is None else SETTINGS[f"ask.{name}"].kind.text(value)

    def _checked_number(self, name: str) -> tuple[object] | None:
        kind = SETTINGS[f"ask.{name}"].kind
        text = self.query_one(f"#{name}", Input).value.strip()
        try:
            value = kind.parse(text)
        except RejectedError:
            accepted = kind.accepted.replace(", or null", ", or nothing")
            accepted = accepted.replace(", or empty", ", or nothing")
            self._problem(
                name, f"{_CHECKED[name]} {_short(text)} is not accepted. Accepted is {accepted}."
            )
            return None
        self._problem(name, "")
        return (value,)

    def _stops(self) -> str:
        return "\n".join(_escaped(text) for text in self._settings.options.stop)

    def _checked_stops(self) -> tuple[str, ...]:
        lines = self.query_one("#stop", TextArea).text.split("\n")
        stops = tuple(dict.fromkeys(_unescaped(line) for line in lines if line))
        kind = SETTINGS["ask.stop"].kind
        try:
            kind.check(stops)
        except RejectedError:
            longest = max(stops, key=len)
            value = _short(longest) if len(longest) > _SHOWN_CHARS else f"({len(stops)} texts)"
            self._problem("stop", f"Stop {value} is not accepted. Accepted is {kind.accepted}.")
            return self._settings.options.stop
        self._problem("stop", "")
        return stops

    def _problem(self, name: str, text: str) -> None:
        self.query_one(f"#field-{name}", Field).show_problem(text)


def _short(text: str) -> str:
    line = sanitize_line(text)
    return f"“{line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + '…'}”"


def _escaped(text: str) -> str:
    for character, written in _ESCAPES:
        text = text.replace(character, written)
    return text


def _unescaped(line: str) -> str:
    meant = {written[1]: character for character, written in _ESCAPES}
    result, position = [], 0
    while position < len(line):
        escape = line[position : position + 2]
        if len(escape) == 2 and escape[0] == "\\" and escape[1] in meant:
            result.append(meant[escape[1]])
            position += 2
        else:
            result.append(line[position])
            position += 1
    return "".join(result)
