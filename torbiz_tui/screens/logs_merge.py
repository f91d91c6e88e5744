"""Choosing which logs to read as one."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import SelectionList, Static
from textual.widgets.selection_list import Selection

from torbiz_tui.logs.sources import LogSource
from torbiz_tui.screens.framed import FramedScreen


class MergeScreen(FramedScreen[list[str] | None]):
    """Dismissed with the names of the chosen logs; Escape changes nothing."""

    BINDINGS = [
        Binding("escape,q", "dismiss(None)", "Close", key_display="Esc"),
        Binding("a", "all", "All"),
        Binding("enter", "merge", "Merge", priority=True),
    ]
    DEFAULT_CSS = """
    MergeScreen #frame { width: 64; }
    MergeScreen SelectionList { height: auto; max-height: 1fr; border: none; padding: 0; }
    MergeScreen #how { margin: 1 0 0 0; color: $text-muted; }
    """

    def __init__(self, sources: Sequence[LogSource], chosen: Sequence[str]) -> None:
        super().__init__()
        self._sources = sources
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """The logs, and how to choose."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Merge logs by time"
            frame.border_subtitle = "Enter shows them, Esc closes"
            width = max(len(source.name) for source in self._sources)
            yield SelectionList(
                *(
                    Selection(
                        Content(f"{source.name:{width}}  {source.title}"),
                        source.name,
                        source.name in self._chosen,
                    )
                    for source in self._sources
                ),
                compact=True,
            )
            yield Static("Space chooses one, a all of them or none.", id="how", markup=False)

    def on_mount(self) -> None:
        """Let the keys choose."""
        self.query_one(SelectionList).focus()

    def action_all(self) -> None:
        """All, or none if all are chosen."""
        logs = self.query_one(SelectionList)
        if len(logs.selected) == len(self._sources):
            logs.deselect_all()
        else:
            logs.select_all()

    def action_merge(self) -> None:
        """Read what is chosen, in the order of the list."""
        logs = self.query_one(SelectionList)
        chosen = [source.name for source in self._sources if source.name in logs.selected]
        self.dismiss(chosen or None)

    @on(SelectionList.SelectedChanged)
    def _changed(self) -> None:
        count = len(self.query_one(SelectionList).selected)
        self.query_one("#frame").border_title = f"Merge logs by time ({count})"
