"""The Ask screen's panes: conversations at the left, the talk, options at the right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual import events
from textual.containers import Horizontal
from textual.widget import Widget

from torbiz_tui.screens.ask_view import TalkView
from torbiz_tui.widgets.answer_settings import AnswerSettings

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.widgets.conversation_list import ConversationList
    from torbiz_tui.widgets.settings_panel import SettingsPanel

LIST_FROM_COLUMNS = 100


class AskPanes(Horizontal):
    """The list shows itself where there is room; both sides are opened and closed by keys."""

    def __init__(self, services: Services, view: TalkView) -> None:
        super().__init__(id="panes")
        self._services = services
        self._view = view
        self._deleted: list[tuple[int, str]] = []
        self._current = 0
        self._list_wanted: bool | None = None
        self._settings = AnswerSettings()
        self._list: ConversationList | None = None
        self._panel: SettingsPanel | None = None

    def compose(self) -> Iterator[Widget]:
        """The sides come when they are first shown."""
        yield self._view

    # The conversations

    def on_resize(self, event: events.Resize) -> None:
        """Show the list where there is room, unless it was closed."""
        shown = event.size.width >= LIST_FROM_COLUMNS and self._list_wanted is not False
        # The first time it comes after the rest has been painted.
        self.call_after_refresh(self._show_list, shown)

    def _show_list(self, shown: bool) -> None:
        listed = self._list
        if listed is not None:
            if listed.display != shown:
                listed.display = shown
                listed.reload()
        elif shown:
            self._list = self._make_list()
            self.mount(self._list, before=0)

    def _make_list(self) -> ConversationList:
        from torbiz_tui.widgets.conversation_list import ConversationList

        return ConversationList(self._services.history, self._current, self._deleted)

    def toggle_list(self, *, find: bool = False) -> None:
        """Go to the conversations, or close them when that is where the keys are."""
        if self.size.width < LIST_FROM_COLUMNS:
            from torbiz_tui.screens.conversations import ConversationsScreen

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
        if self._list is not None:
            self._list.show_current(conversation)

    def conversations_changed(self) -> None:
        """Something was said or renamed."""
        if (listed := self._list) is not None and listed.display:
            listed.reload()

    # The options

    def toggle_settings(self) -> None:
        """Go to the options, or close them when that is where the keys are."""
        panel = self._panel
        if panel is None:
            from torbiz_tui.widgets.settings_panel import SettingsPanel

            panel = self._panel = SettingsPanel(self._settings)
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
        if self._panel is not None:
            self._panel.show(settings)
