"""The conversations that there are: found, opened, renamed, deleted and brought back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import span

if TYPE_CHECKING:
    from torbiz_tui.inference.conversations import ConversationSummary
    from torbiz_tui.inference.history import History

_SETTLED_S = 0.08
_NOTHING_YET = "No conversation yet."
_NOTHING_FOUND = "Nothing found."


class _Rows(OptionList):
    """The rows; its keys act on the one that is highlighted."""

    BINDINGS = [*keys.CONVERSATIONS]

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True)
        self._searching = False

    async def _on_key(self, event: events.Key) -> None:
        # Over a slow line keys come in bursts: what follows the slash is a search, and not orders.
        if self._searching and event.is_printable and event.character:
            self._run("search_more", event.character)
        elif event.key == "slash":
            self._searching = True
            self._run("find")
        else:
            return
        event.stop()
        event.prevent_default()

    def on_focus(self) -> None:
        """Letters are orders again."""
        self._searching = False

    def _run(self, name: str, *arguments: str) -> None:
        holder = self.parent
        if isinstance(holder, ConversationList):
            getattr(holder, name)(*arguments)

    def action_find(self) -> None:
        """Go to the search field."""
        self._run("find")

    def action_rename(self) -> None:
        """Give the highlighted one another title."""
        self._run("begin_rename")

    def action_delete(self) -> None:
        """Delete the highlighted one."""
        self._run("delete_highlighted")

    def action_restore(self) -> None:
        """Bring back what was deleted last."""
        self._run("restore_deleted")


class ConversationList(Vertical):
    """The newest first; a search looks through titles and messages as it is typed."""

    DEFAULT_CSS = """
    ConversationList { padding: 0 1; }
    ConversationList .title { text-style: bold; }
    ConversationList Input { width: 1fr; margin: 0 0 1 0; }
    ConversationList #new-title { display: none; margin: 1 0 0 0; }
    ConversationList OptionList {
        height: 1fr;
        border: none;
        padding: 0;
        background: transparent;
        scrollbar-size-vertical: 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    ConversationList.-searching OptionList { text-wrap: wrap; }
    ConversationList .foot { height: auto; color: $text-muted; }
    """

    class Opened(Message):
        """The person wants to go on with this conversation; `turn` is what a search has found."""

        def __init__(self, conversation: int, turn: int | None = None) -> None:
            super().__init__()
            self.conversation = conversation
            self.turn = turn

    class Renamed(Message):
        """The conversation has another title now."""

        def __init__(self, conversation: int, title: str) -> None:
            super().__init__()
            self.conversation = conversation
            self.title = title

    class Deleted(Message):
        """The conversation was deleted; it can be brought back."""

        def __init__(self, conversation: int, title: str) -> None:
            super().__init__()
            self.conversation = conversation
            self.title = title

    class Failed(Message):
        """The history could not be read or written."""

        def __init__(self, error: TorbizError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, history: History, current: int, deleted: list[tuple[int, str]]) -> None:
        """`deleted` are ids and titles of what can be brought back; who holds it keeps it."""
        super().__init__(id="conversations")
        self._history = history
        self._current = current
        self._deleted = deleted
        self._shown: list[ConversationSummary] = []
        self._renaming = 0

    def compose(self) -> Iterator[Widget]:
        """The search, the rows, the field for another title, and what was deleted."""
        yield Static("Conversations", classes="title")
        yield Input(placeholder="/ searches all of them", id="search", compact=True)
        yield _Rows()
        yield Input(id="new-title", compact=True)
        yield Static(classes="foot", markup=False)

    def on_mount(self) -> None:
        """Show what there is."""
        self.reload()

    # What is shown

    def show_current(self, conversation: int) -> None:
        """Mark the conversation that is on the screen; 0 marks none."""
        if conversation != self._current:
            self._current = conversation
            self._show_rows()

    def focus_rows(self) -> None:
        """Put the keys to the rows."""
        self.query_one(_Rows).focus()

    def find(self) -> None:
        """Put the cursor into the search."""
        field = self.query_one("#search", Input)
        field.clear()
        field.focus()

    def search_more(self, text: str) -> None:
        """Add to what is searched."""
        self.query_one("#search", Input).insert_text_at_cursor(text)

    @work(group="conversations", exclusive=True, exit_on_error=False)
    async def reload(self, after_s: float = 0.0) -> None:
        """Read the conversations again, those that the search finds."""
        if after_s:
            await asyncio.sleep(after_s)
        words = self.query_one("#search", Input).value
        try:
            self._shown = await self._history.conversations(words)
        except TorbizError as error:
            self.post_message(self.Failed(error))
            return
        self._show_rows()

    @on(Input.Changed, "#search")
    def _typed(self) -> None:
        # Only after the last of keys that come at once; a paste is one.
        self.reload(_SETTLED_S)

    def _show_rows(self) -> None:
        rows = self.query_one(_Rows)
        highlighted = self._highlighted
        wanted = highlighted.id if highlighted is not None else self._current
        now = time.time()
        # What a search has found may stand anywhere in its line.
        self.set_class(any(item.snippet for item in self._shown), "-searching")
        rows.clear_options()
        rows.add_options([Option(self._row(item, now), str(item.id)) for item in self._shown])
        ids = [item.id for item in self._shown]
        if ids:
            rows.highlighted = ids.index(wanted) if wanted in ids else 0
        self._show_foot()

    def _row(self, item: ConversationSummary, now: float) -> Content:
        mark = "• " if item.id == self._current else ""
        title = _marked(item.title or "Untitled", item.title_matches, "bold underline")
        age = span(max(0.0, now - item.updated_at))
        parts: list[str | Content | tuple[str, str]] = [(mark, "bold $text-accent"), title]
        if item.snippet:
            parts += ["\n", _marked(item.snippet, item.snippet_matches, "underline")]
        else:
            parts.append((f"\n{age} · {sanitize_line(item.model.rsplit('/', 1)[-1])}", "dim"))
        return Content.assemble(*parts)

    def _show_foot(self) -> None:
        foot = self.query_one(".foot", Static)
        if self._deleted:
            foot.update(f"Deleted “{sanitize_line(self._deleted[-1][1])}”. u brings it back.")
        elif not self._shown:
            searching = bool(self.query_one("#search", Input).value.strip())
            foot.update(_NOTHING_FOUND if searching else _NOTHING_YET)
        else:
            foot.update("")

    @property
    def _highlighted(self) -> ConversationSummary | None:
        at = self.query_one(_Rows).highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None

    # What is done

    def on_key(self, event: events.Key) -> None:
        """From the search, the arrows go to the rows and Enter opens the one that is marked."""
        search = self.query_one("#search", Input)
        if event.key == "escape" and self.query_one("#new-title").has_focus:
            self.focus_rows()
            event.stop()
        elif not search.has_focus:
            return
        elif event.key == "escape" and search.value:
            search.value = ""
            event.stop()
        elif event.key in ("down", "up"):
            self.focus_rows()
            event.stop()

    @on(Input.Submitted, "#search")
    def _found(self) -> None:
        if (item := self._highlighted) is not None:
            self.post_message(self.Opened(item.id, item.turn_id))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._found()

    def begin_rename(self) -> None:
        """Ask for another title of the highlighted conversation."""
        if (item := self._highlighted) is None:
            return
        self._renaming = item.id
        field = self.query_one("#new-title", Input)
        field.value = item.title
        field.display = True
        field.focus()

    @on(Input.Submitted, "#new-title")
    def _titled(self, event: Input.Submitted) -> None:
        title = event.value.strip()
        if title:
            self._rename(self._renaming, title)
        self.focus_rows()

    @on(events.DescendantBlur, "#new-title")
    def _left_title(self) -> None:
        self.query_one("#new-title", Input).display = False

    @work(group="rename", exit_on_error=False)
    async def _rename(self, conversation: int, title: str) -> None:
        try:
            await self._history.rename(conversation, title)
        except TorbizError as error:
            self.post_message(self.Failed(error))
            return
        self.post_message(self.Renamed(conversation, title))
        self.reload()

    def delete_highlighted(self) -> None:
        """Delete the highlighted conversation."""
        if (item := self._highlighted) is not None:
            self._delete(item.id, item.title)

    @work(group="delete", exit_on_error=False)
    async def _delete(self, conversation: int, title: str) -> None:
        try:
            await self._history.delete(conversation)
        except TorbizError as error:
            self.post_message(self.Failed(error))
            return
        self._deleted.append((conversation, title))
        self.post_message(self.Deleted(conversation, title))
        self.reload()

    @work(group="delete", exit_on_error=False)
    async def restore_deleted(self) -> None:
        """Bring back what was deleted last."""
        if not self._deleted:
            return
        try:
            await self._history.restore(self._deleted[-1][0])
        except TorbizError as error:
            self.post_message(self.Failed(error))
            return
        del self._deleted[-1]
        self.reload()


def _marked(text: str, matches: tuple[tuple[int, int], ...], style: str) -> Content:
    """The text with the words that were looked for made visible; it is never markup."""
    parts: list[str | tuple[str, str]] = []
    at = 0
    for first, end in matches:
        parts += [sanitize_line(text[at:first]), (sanitize_line(text[first:end]), style)]
        at = end
    return Content.assemble(*parts, sanitize_line(text[at:]))
