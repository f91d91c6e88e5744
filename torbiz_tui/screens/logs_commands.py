"""What the command palette offers for the Logs screen as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

if TYPE_CHECKING:
    from torbiz_tui.screens.logs import LogsScreen


def logs_commands(screen: LogsScreen) -> Iterator[SystemCommand]:
    """Everything that can be done with the logs, by name, and every source."""
    pane, reading = screen.slot.pane, screen.slot.reading
    yield SystemCommand("Search in this log", "Text or regular expression", screen.action_search)
    yield SystemCommand("Filter lines", "By level, source, time, text", screen.action_filter)
    if reading is not None and reading.filter_text:
        yield SystemCommand(
            "Switch the filter", "All lines, or what fits", screen.action_toggle_filter
        )
    yield SystemCommand("Go to a moment", "In this log", screen.action_time)
    yield SystemCommand("Next error", "From the end the first", partial(screen.action_error, 1))
    yield SystemCommand("Previous error", "From the top the last", partial(screen.action_error, -1))
    yield SystemCommand("Merge logs", "Read several as one, by time", screen.action_merge)
    yield SystemCommand("Split", "Two panes, or one", screen.action_split)
    yield SystemCommand("Export what is shown", "To a file, without tokens", screen.action_export)
    yield SystemCommand("Wrap long lines", "Break long lines, or not", pane.action_wrap)
    yield SystemCommand("Mark the line", "u goes from mark to mark", pane.action_mark)
    yield SystemCommand("Clear this view", "The file stays", pane.action_clear)
    if pane.cleared:
        yield SystemCommand("Show what was cleared", "", pane.action_unclear)
    for index, source in enumerate(screen.sources):
        yield SystemCommand(
            f"Log: {source.name}", source.title, partial(screen.action_choose, index)
        )
    everything = partial(screen.action_choose, len(screen.sources))
    yield SystemCommand("Log: all", "Merged by time", everything)
