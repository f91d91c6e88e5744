"""One field of a form."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Label, Static


class Field(Vertical):
    """A label, its control, room for what it means, and room for what is wrong with it."""

    DEFAULT_CSS = """
    Field { height: auto; }
    Field > Horizontal { height: auto; }
    Field Label { width: 10; color: $text-muted; }
    Field .hint { width: auto; margin: 0 0 0 2; color: $text-muted; }
    Field .meaning { height: auto; margin: 0 0 0 10; color: $text-muted; display: none; }
    Field .meaning.-doubtful { color: $text-warning; }
    Field .problem { height: auto; margin: 0 0 0 10; color: $text-error; display: none; }
    Field .-shown { display: block; }
    Field.-wrong .meaning { display: none; }
    """

    def __init__(self, name: str, label: str, *controls: Widget, hint: str = "") -> None:
        super().__init__(id=f"field-{name}")
        self._label = label
        self._controls = controls
        self._hint = hint

    def compose(self) -> ComposeResult:
        """One line, and what is said of it below."""
        with Horizontal():
            yield Label(self._label)
            yield from self._controls
            if self._hint:
                yield Label(self._hint, classes="hint", markup=False)

    def show_meaning(self, text: str, *, doubtful: bool = False) -> None:
        """Say what its value means; an empty text takes it away."""
        self._say("meaning", text)
        for meaning in self.query(".meaning"):
            meaning.set_class(doubtful, "-doubtful")

    def show_problem(self, text: str) -> None:
        """Say what is wrong, in place of what it means; an empty text takes it away."""
        self.set_class(bool(text), "-wrong")
        self._say("problem", f"✗ {text}" if text else "")

    def _say(self, kind: str, text: str) -> None:
        """Of most fields nothing is ever said: their lines are made when they are needed."""
        lines = self.query(f".{kind}").results(Static)
        line = next(iter(lines), None)
        if line is not None:
            line.update(text)
            line.set_class(bool(text), "-shown")
        elif text:
            self.mount(Static(text, classes=f"{kind} -shown", markup=False))
