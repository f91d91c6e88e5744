"""What the command palette offers for the Ask screen as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

if TYPE_CHECKING:
    from torbiz_tui.screens.ask import AskScreen


def ask_commands(screen: AskScreen) -> Iterator[SystemCommand]:
    """Everything that can be done with the conversation, by name."""
    talk, view = screen.talk, screen.view
    if talk.answering:
        yield SystemCommand("Stop the answer", "What has come stays", screen.action_stop)
    yield SystemCommand("New conversation", "This one is kept", screen.action_new_conversation)
    yield SystemCommand("Conversations", "Open, rename, delete", screen.action_conversations)
    yield SystemCommand("Search in conversations", "Titles and messages", screen.action_find)
    yield SystemCommand("Model", "Choose the model that answers", screen.action_model)
    yield SystemCommand("Options", "Temperature, length, system prompt", screen.action_options)
    if screen.can_share_missing:
        yield SystemCommand(
            "Share what nobody serves", "Exactly these blocks", screen.action_share_missing
        )
    if not talk.chat.turns:
        return
    yield SystemCommand("Ask again", "Another answer; this one is kept", screen.action_again)
    yield SystemCommand("Edit the question", "It is asked in other words", view.action_edit)
    yield SystemCommand("Previous version", "Of the message", partial(view.action_branch, -1))
    yield SystemCommand("Next version", "Of the message", partial(view.action_branch, 1))
    yield SystemCommand("Copy the message", "As it was written", screen.action_copy)
    yield SystemCommand("Copy a code block", "Then the next one", view.action_copy_code)
    yield SystemCommand("Select a message", "", screen.action_select)
    yield SystemCommand("Rename the conversation", "", screen.action_rename)
    yield SystemCommand("Export", "To a Markdown or JSON file", screen.action_export)
