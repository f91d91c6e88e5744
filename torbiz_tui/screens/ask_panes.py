"""The Ask screen's panes: conversations at the left, the talk, options at the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget

from torbiz_tui.screens.ask_view import TalkView
from torbiz_tui.widgets.conversation_list import ConversationList
from torbiz_tui.widgets.settings_panel import AnswerSettings, SettingsPanel

if TYPE_CHECKING:
    from torbiz_tui.inference.history import History

LIST_FROM_COLUMNS = 100


class AskPanes(Horizontal):
    """The list shows itself where there is room; both sides are opened and closed by keys."""

    def __init__(self, history: History, view: TalkView) -> None:
        super().__init__(id="panes")
        self._history = history
        self._view = view
        self._deleted: list[tuple[int, str]] = []
        self._current = 0
        self._list_wanted: bool | None = None
        self._settings = AnswerSettings()

    def compose(self) -> Iterator[Widget]:
        """The sides come when they are first shown."""
        yield self._view

    # The conversations

    @property
    def _list(self) -> ConversationList | None:
        return next(iter(self.query(ConversationList)), None)

    @property
    def _settings_panel(self) -> SettingsPanel | None:
        return next(iter(self.query(SettingsPanel)), None)

    def on_resize(self, event: events.Resize) -> None:
        """Show the list where there is room, unless it was closed."""
        self._show_list(event.size.width >= LIST_FROM_COLUMNS and self._list_wanted is not False)

    def _show_list(self, shown: bool) -> None:
        listed = self._list
        if listed is not None:
            if listed.display != shown:
                listed.display = shown
                listed.reload()
        elif shown:
            self.mount(self._make_list(), before=0)

    def _make_list(self) -> ConversationList:
        return ConversationList(self._history, self._current, self._deleted)

    def toggle_list(self, *, find: bool = False) -> None:
        """Go to the conversations, or close them when that is where the keys are."""
        if self.size.width < LIST_FROM_COLUMNS:
            screen = ConversationsScreen(self._make_list(), self.post_message, find=find)
            self.app.push_screen(screen)
            return
        listed = self._list
        if listed is not None and listed.display and listed.has_focus_within and not find:
            self._list_wanted = False
            self._show_list(False)
            self._view.field.focus()
            return
        self._list_wanted = True
        self._show_list(True)
        self.call_after_refresh(self._go_to_list, find)

    def _go_to_list(self, find: bool) -> None:
        if (listed := self._list) is not None:
            if find:
                listed.find()
            else:
                listed.focus_rows()

    def back_to_list(self) -> None:
        """Put the keys to the rows again, where the list is beside the conversation."""
        if (listed := self._list) is not None and listed.display:
            listed.focus_rows()

    def show_current(self, conversation: int) -> None:
        """Mark the conversation that is on the screen."""
        self._current = conversation
        if (listed := self._list) is not None:
            listed.show_current(conversation)

    def conversations_changed(self) -> None:
        """Something was said or renamed."""
        if (listed := self._list) is not None and listed.display:
            listed.reload()

    # The options

    def toggle_settings(self) -> None:
        """Go to the options, or close them when that is where the keys are."""
        panel = self._settings_panel
        if panel is None:
            panel = SettingsPanel(self._settings)
            self.mount(panel)
        elif panel.display and panel.has_focus_within:
            # A field that is being typed in is left by this.
            panel.check()
            panel.display = False
            self.remove_class("-settings")
            self._view.field.focus()
            return
        panel.display = True
        self.add_class("-settings")
        self.call_after_refresh(panel.focus_first)

    def show_settings(self, settings: AnswerSettings) -> None:
        """Show the options of the conversation that is on the screen."""
        self._settings = settings
        if (panel := self._settings_panel) is not None:
            panel.show(settings)


class ConversationsScreen(ModalScreen[None]):
    """The list over a screen that is too narrow to have it beside the conversation."""

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
