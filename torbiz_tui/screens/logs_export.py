"""Writing what is shown of a log to a file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.views import LineView
from torbiz_tui.screens.framed import FramedScreen
from torbiz_tui.threads import call_abandonable
from torbiz_tui.widgets.notice import error_content

Write = Callable[[Path, threading.Event, Callable[[float], None]], int]
"""Writes lines to a new file, until the event is set, tells how far it is, and returns how many."""

_LOOK_S = 0.05
_EXISTS = "file_exists"


class LogExportScreen(FramedScreen[tuple[Path, int] | None]):
    """The place; a file that exists is replaced only after a second Enter, Escape stops."""

    BINDINGS = [Binding("escape", "leave", "Close")]
    DEFAULT_CSS = """
    LogExportScreen #frame { width: 72; }
    LogExportScreen Static { height: auto; }
    LogExportScreen Input { margin: 1 0; }
    LogExportScreen #problem { display: none; }
    LogExportScreen #problem.-shown { display: block; }
    """

    def __init__(self, what: str, name: str, view: LineView, write: Write) -> None:
        super().__init__()
        self._what = what
        self._view = view
        self._suggested = name
        self._write = write
        self._replace = ""
        self._stop = threading.Event()
        self._doing, self._progress = "Writing", 0.0
        self._writing = False

    def compose(self) -> ComposeResult:
        """What is written, the place, and what hinders."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Export what is shown"
            frame.border_subtitle = "Enter writes, Esc closes"
            yield Static(f"{self._what} Tokens are taken out.", id="what", markup=False)
            yield Input(str(Path("~") / self._suggested), id="path", compact=True)
            yield Static(id="problem", markup=False)

    def on_mount(self) -> None:
        """The place can be typed at once; the progress is shown while there is any."""
        self.query_one(Input).focus()
        self.set_interval(0.2, self._show_progress)

    def action_leave(self) -> None:
        """Stop writing, which leaves nothing; else close."""
        if self._writing:
            self._stop.set()
        else:
            self.dismiss(None)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._replace = ""
        self.query_one("#problem").remove_class("-shown")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if text and not self._writing:
            self._export(text)

    @work(group="export", exclusive=True, exit_on_error=False)
    async def _export(self, text: str) -> None:
        path = Path(text).expanduser()
        if path.is_dir():
            path /= self._suggested
        replace = self._replace == text
        # What is there stays whole until all of the new one is written.
        target = path.with_name(f".{path.name}.new") if replace else path
        self._stop.clear()
        self._writing = True
        try:
            if replace:
                target.unlink(missing_ok=True)
            await self._complete()
            count = await call_abandonable(
                lambda: self._write(target, self._stop, self._tell), "export a log"
            )
            if replace and not self._stop.is_set():
                target.replace(path)
        except TorbizError as error:
            if error.code == _EXISTS:
                self._replace = text
                error = TorbizError(error.what, remedy="Enter again replaces it.")
            self._problem(error)
            return
        except OSError as error:
            self._problem(
                TorbizError(f"{path} cannot be replaced.", why=f"{error.strerror or error}.")
            )
            return
        finally:
            self._writing = False
        if self._stop.is_set():
            self._problem(TorbizError("Stopped; nothing was written."))
        else:
            self.dismiss((path, count))

    async def _complete(self) -> None:
        """Wait until all lines are known that are to be written."""
        view = self._view
        while not view.complete and not self._stop.is_set():
            view.look()
            self._doing, self._progress = "Looking for the lines", view.progress
            await asyncio.sleep(_LOOK_S)
        self._doing, self._progress = "Writing", 0.0

    def _tell(self, progress: float) -> None:
        self._progress = progress

    def _show_progress(self) -> None:
        if self._writing:
            shown = self.query_one("#problem", Static)
            shown.update(f"{self._doing}, {self._progress:.0%}… Esc stops it and leaves nothing.")
            shown.add_class("-shown")

    def _problem(self, error: TorbizError) -> None:
        shown = self.query_one("#problem", Static)
        shown.update(error_content(error))
        shown.add_class("-shown")
