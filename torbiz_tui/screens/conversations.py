"""The conversations over a screen that is too narrow to have them beside it."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen

from torbiz_tui.widgets.conversation_list import ConversationList


class ConversationsScreen(ModalScreen[None]):
    """The list; what is done in it is told to who opened it."""

    BINDINGS = [Binding("escape,ctrl+l", "dismiss", "Close", key_display="Esc")]
    DEFAULT_CSS = """
    ConversationsScreen { align: center middle; }
    ConversationsScreen #frame {
        width: 76;
        max-width: 100%;
        height: 100%;
        max-height: 30;
        background: $surface;
        border: round $primary;
        border-title-color: $foreground;
    }
    ConversationsScreen ConversationList .title { display: none; }
    ConversationsScreen.-short #frame { border: none; }
    """

    def __init__(
        self, listed: ConversationList, tell: Callable[[Message], object], *, find: bool
    ) -> None:
        super().__init__()
        self._listed = listed
        self._tell = tell
        self._find = find

    def compose(self) -> ComposeResult:
        """The list in a frame."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Conversations"
            frame.border_subtitle = "Enter opens, / searches, r renames, d deletes, Esc closes"
            yield self._listed

    def on_mount(self) -> None:
        """Put the keys to the rows, or to the search."""
        if self._find:
            self._listed.find()
        else:
            self._listed.focus_rows()

    @on(ConversationList.Opened)
    def _opened(self, event: ConversationList.Opened) -> None:
        event.stop()
        self._tell(ConversationList.Opened(event.conversation, event.turn))
        self.dismiss()

    @on(ConversationList.Renamed)
    def _renamed(self, event: ConversationList.Renamed) -> None:
        self._tell(ConversationList.Renamed(event.conversation, event.title))

    @on(ConversationList.Deleted)
    def _deleted(self, event: ConversationList.Deleted) -> None:
        self._tell(ConversationList.Deleted(event.conversation, event.title))

    @on(ConversationList.Failed)
    def _failed(self, event: ConversationList.Failed) -> None:
        self._tell(ConversationList.Failed(event.error))
