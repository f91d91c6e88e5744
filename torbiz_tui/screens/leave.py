"""The question before leaving, asked only when something would be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

Leaving = Literal["leave", "stop", "stay"]


class LeaveScreen(ModalScreen[Leaving]):
    """Says what would be lost; Escape stays."""

    BINDINGS = [
        Binding("escape", "answer('stay')", "Stay"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = """
    LeaveScreen { align: center middle; }
    LeaveScreen #frame {
        width: 64;
        max-width: 100%;
        height: auto;
        max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $warning;
        overflow-y: auto;
    }
    LeaveScreen #buttons { height: auto; margin: 1 0 0 0; }
    LeaveScreen Button { width: 28; padding: 0 1; }
    LeaveScreen.-short #frame { padding: 0 1; border: none; }
    LeaveScreen.-short #buttons { margin: 0; }
    """

    def __init__(self, losses: Sequence[str], *, sharing: bool) -> None:
        super().__init__()
        self._losses = losses
        self._sharing = sharing

    def compose(self) -> ComposeResult:
        """The losses, what goes on, and the choice."""
        parts: list[str | tuple[str, str]] = [("Leave now?", "bold")]
        parts += [f"\n• {loss}" for loss in self._losses]
        if self._sharing:
            parts.append(
                "\n\nThe server goes on sharing; stop it here first, or later with "
                "`torbiz-tui stop`."
            )
        with Vertical(id="frame"):
            yield Static(Content.assemble(*parts), markup=False)
            with Vertical(id="buttons"):
                yield Button("Stay", id="stay", variant="primary", compact=True)
                yield Button("Leave", id="leave", compact=True)
                if self._sharing:
                    yield Button("Stop sharing and leave", id="stop", compact=True)

    def on_mount(self) -> None:
        """Enter stays, so that nothing is lost by a habit."""
        self.query_one("#stay").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        answers: dict[str | None, Leaving] = {"leave": "leave", "stop": "stop"}
        self.dismiss(answers.get(event.button.id, "stay"))

    def action_answer(self, answer: Leaving) -> None:
        """Answer by key."""
        self.dismiss(answer)
