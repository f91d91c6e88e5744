"""The least that a Textual app with this shape is: Header, Footer, four tabs."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Header, Tab, Tabs


class MinimalApp(App[None]):
    """What `startup.py` compares with."""

    BINDINGS: ClassVar[list[BindingType]] = [("ctrl+q", "quit", "Quit")]

    def compose(self) -> ComposeResult:
        """Header, tabs, footer."""
        yield Header()
        yield Tabs(Tab("Setup"), Tab("Share"), Tab("Ask"), Tab("Logs"))
        yield Footer()


if __name__ == "__main__":
    MinimalApp().run()
