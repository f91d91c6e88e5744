"""A command that a person could type, to read and to copy."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from torbiz_tui.screens.framed import FramedScreen


class CommandScreen(FramedScreen[None]):
    """Lies over a screen; y copies the command, Escape closes."""

    BINDINGS = [
        Binding("y", "copy", "Copy"),
        Binding("escape,q,enter", "dismiss", "Close", key_display="Esc"),
    ]
    DEFAULT_CSS = """
    CommandScreen #frame {
        width: 100;
        scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, title: str, note: str, command: str, copied: str) -> None:
        super().__init__()
        self._title = title
        self._note = note
        self._command = command
        self._copied = copied

    def compose(self) -> ComposeResult:
        """The note, then the command."""
        with VerticalScroll(id="frame") as frame:
            frame.border_title = self._title
            frame.border_subtitle = "y copies, Esc closes"
            yield Static(Content.assemble((self._note, "dim"), "\n\n", self._command), markup=False)

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#frame").focus()

    def action_copy(self) -> None:
        """Send the command to the clipboard."""
        self.app.copy_to_clipboard(self._command)
        self.notify(self._copied, title="Command", markup=False)
