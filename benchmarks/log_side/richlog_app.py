"""What a log viewer is when it is made of Textual's RichLog and nothing else: `richlog_app.py FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, RichLog, Static

_LOOK_S = 0.05


class RichLogApp(App[None]):
    """Reads the whole file into the widget, and looks for more twenty times a second."""

    BINDINGS: ClassVar[list[BindingType]] = [("slash", "change", "Change")]

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._stream = file.open("rb")
        self._toggled = 0

    def compose(self) -> ComposeResult:
        """The lines, a line that a key changes, the keys."""
        yield RichLog()
        yield Static("ready", id="state")
        yield Footer()

    def on_mount(self) -> None:
        """Read."""
        self.query_one(RichLog).focus()
        self.call_after_refresh(self._read)
        self.set_interval(_LOOK_S, self._read)

    def _read(self) -> None:
        log = self.query_one(RichLog)
        data = self._stream.read()
        for line in data.decode("utf-8", "replace").splitlines():
            log.write(line)

    def action_change(self) -> None:
        """Change what is shown below."""
        self._toggled += 1
        self.query_one("#state", Static).update("QXODDQX" if self._toggled % 2 else "QXEVENQX")


if __name__ == "__main__":
    RichLogApp(Path(sys.argv[1])).run()
