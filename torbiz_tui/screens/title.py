"""Another title for what is on the screen."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input

from torbiz_tui.screens.framed import FramedScreen


class TitleScreen(FramedScreen[str | None]):
    """One field; Enter keeps what is in it, Escape changes nothing."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    TitleScreen #frame {
        width: 72;
    }
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """The field, with the title until now."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Title of the conversation"
            frame.border_subtitle = "Enter keeps it, Esc closes"
            yield Input(self._title, compact=True)

    @on(Input.Submitted)
    def _titled(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)
