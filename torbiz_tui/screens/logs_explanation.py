"""What a known problem is, and what to do about it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from torbiz_tui.screens.framed import FramedScreen
from torbiz_tui.troubleshooting.symptom import Explanation, Severity

_LINE_CHARS = 400
_STYLES = {
    Severity.BENIGN: ("✓ ", "bold $text-success"),
    Severity.WARNING: ("! ", "bold $text-warning"),
    Severity.ERROR: ("✗ ", "bold $text-error"),
}


class ExplanationScreen(FramedScreen[bool]):
    """Lies over a screen; dismissed with True when the app shall do what mends it."""

    BINDINGS = [
        Binding("escape,q", "dismiss(False)", "Close", key_display="Esc"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = """
    ExplanationScreen #frame { width: 84; }
    ExplanationScreen #text { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; }
    ExplanationScreen #buttons { height: 1; margin: 1 0 0 0; }
    ExplanationScreen Button { margin: 0 1 0 0; padding: 0 1; }
    """

    def __init__(self, told: Explanation, *, can_do: bool) -> None:
        super().__init__()
        self._told = told
        self._can_do = can_do

    def compose(self) -> ComposeResult:
        """The line, its meaning, and what can be done."""
        with Vertical(id="frame") as frame:
            frame.border_title = "What this line means"
            frame.border_subtitle = "Esc closes"
            with VerticalScroll(id="text", can_focus=False):
                yield Static(self._text(), markup=False)
            with Horizontal(id="buttons"):
                if self._can_do:
                    label = self._told.action.label
                    yield Button(label, id="do", variant="primary", compact=True)
                yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        """Enter does what is offered."""
        self.query("Button").first().focus()

    def _text(self) -> Content:
        told = self._told
        mark, style = _STYLES[told.symptom.severity]
        line = told.line.strip()
        if len(line) > _LINE_CHARS:
            line = f"{line[:_LINE_CHARS]}…"
        return Content.assemble(
            (mark + told.title, style),
            f"\n\n{told.cause}",
            ("\n\n→ " + told.remedy, "bold"),
            ("\n\n" + line, "dim"),
            ("\n\nMore of its kind: docs/troubleshooting.md; `torbiz-tui doctor`.", "dim"),
        )

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "do")
