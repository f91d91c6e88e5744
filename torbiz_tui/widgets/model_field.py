"""The field that holds a model; the list of models is opened from it."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Static


class ModelField(Static, can_focus=True):
    """Shows the chosen model; asks for the list of models when it is pressed."""

    BINDINGS = [Binding("enter,space,down", "choose", "Choose a model", show=False)]
    DEFAULT_CSS = """
    ModelField { width: 1fr; max-width: 60; height: 1; background: $surface; text-overflow: ellipsis; text-wrap: nowrap; pointer: pointer; }
    ModelField:focus { background: $block-cursor-background; color: $block-cursor-foreground; }
    """

    class Asked(Message):
        """Somebody wants to choose another model."""

    def __init__(self, value: str) -> None:
        super().__init__(id="model", markup=False)
        self.value = value
        self._title: str | None = None
        self.show(value)

    def show(self, title: str) -> None:
        """Show the model that it holds in these words."""
        if title != self._title:
            self._title = title
            self.update(Content.assemble(("▾ ", "dim"), title or "Choose a model"))

    def on_click(self, event: events.Click) -> None:
        """As the keys do."""
        event.stop()
        self.action_choose()

    def action_choose(self) -> None:
        """Ask for the list of models."""
        self.post_message(self.Asked())
