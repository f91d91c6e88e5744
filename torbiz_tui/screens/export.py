"""Writing a conversation to a file."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Select, Static

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.framed import FramedScreen
from torbiz_tui.widgets.notice import error_content

Write = Callable[[Path, bool], Awaitable[None]]
"""Writes to the path; True overwrites. Raises TorbizError, with the code EXISTS where it must not."""

EXISTS = "export_exists"
_SUFFIXES = (".md", ".json")
_NAME_CHARS = 40


def suggested_name(title: str) -> str:
    """A file's name without its suffix for a title: `torbiz-what-is-petals`."""
    words = re.sub(r"[^\w]+", "-", title.lower()).strip("-_")[:_NAME_CHARS].strip("-_")
    return f"torbiz-{words}" if words else "torbiz-conversation"


class ExportScreen(FramedScreen[Path | None]):
    """The form and the place; a file that exists is overwritten only after a second Enter."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    ExportScreen #frame {
        width: 72;
        overflow-y: auto;
    }
    ExportScreen Input { margin: 1 0; }
    ExportScreen #problem { height: auto; display: none; margin: 0 0 1 0; }
    ExportScreen #problem.-shown { display: block; }
    ExportScreen #buttons { height: 1; }
    ExportScreen Button { margin: 0 1 0 0; padding: 0 1; }
    ExportScreen.-short #frame { padding: 0 1; border: none; }
    """

    def __init__(self, title: str, write: Write) -> None:
        super().__init__()
        self._file_name = suggested_name(title)
        self._write = write
        self._overwrite = ""

    def compose(self) -> ComposeResult:
        """Form, place, and what hinders."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Export the conversation"
            frame.border_subtitle = "Enter writes, Esc closes"
            forms = [("Markdown, as it is shown", ".md"), ("JSON, with all versions", ".json")]
            yield Select(forms, value=".md", allow_blank=False, id="form", compact=True)
            yield Input(str(Path("~") / f"{self._file_name}.md"), id="path", compact=True)
            yield Static(id="problem", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Write", id="write", variant="primary", compact=True)
                yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        """The place is right more often than not."""
        self.query_one("#path").focus()

    @on(Select.Changed)
    def _form_changed(self) -> None:
        field = self.query_one("#path", Input)
        if Path(field.value).suffix in _SUFFIXES:
            field.value = str(Path(field.value).with_suffix(self._suffix))

    @on(Input.Changed)
    def _path_changed(self) -> None:
        self._overwrite = ""
        self._problem(None)

    @on(Input.Submitted)
    @on(Button.Pressed, "#write")
    def _written(self) -> None:
        text = self.query_one("#path", Input).value.strip()
        if text:
            self._begin(text)

    @on(Button.Pressed, "#close")
    def _leave(self) -> None:
        self.dismiss(None)

    @work(group="export", exclusive=True, exit_on_error=False)
    async def _begin(self, text: str) -> None:
        path = Path(text).expanduser()
        if path.is_dir():
            path /= self._file_name
        if path.suffix.lower() not in _SUFFIXES:
            path = path.with_name(path.name + self._suffix)
        try:
            await self._write(path, self._overwrite == text)
        except TorbizError as error:
            if error.code == EXISTS:
                self._overwrite = text
                error = TorbizError(error.what, remedy="Enter again overwrites it.")
            self._problem(error)
            return
        self.dismiss(path)

    @property
    def _suffix(self) -> str:
        return str(self.query_one("#form", Select).value)

    def _problem(self, error: TorbizError | None) -> None:
        shown = self.query_one("#problem", Static)
        shown.set_class(error is not None, "-shown")
        if error is not None:
            shown.update(error_content(error))
