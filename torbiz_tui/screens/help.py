"""Help: what the current screen is for, and its keys."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from torbiz_tui.screens.framed import FramedScreen
from torbiz_tui.widgets import keys


class HelpScreen(FramedScreen[None]):
    """Lies over a screen; any of the keys that people try closes it."""

    BINDINGS = [Binding("escape,q,f10,question_mark,enter", "dismiss", "Close", key_display="Esc")]
    DEFAULT_CSS = """
    HelpScreen #frame {
        width: 76;
        scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, title: str, purpose: str, keymap: dict[str, str]) -> None:
        super().__init__()
        self._title = title
        self._purpose = purpose
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """One scrollable text."""
        with VerticalScroll(id="frame") as frame:
            frame.border_title = f"Help: {self._title}"
            frame.border_subtitle = "Esc closes"
            yield Static(self._text(), markup=False)

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#frame").focus()

    def _text(self) -> Content:
        # `Ask: messages` are keys of a part of Ask.
        own = [name for name in keys.GROUPS if name.partition(":")[0] == self._title]
        groups = [*own, "Everywhere"]
        table = {name: self._rows(keys.GROUPS[name]) for name in groups}
        table["Everywhere"].append(("Ctrl+P", "All commands, by name"))
        width = max(len(shown) for group in table.values() for shown, _ in group)
        parts: list[str | tuple[str, str]] = [self._purpose, "\n\n"]
        for binding in keys.APP:
            # What leads away from here is seen without scrolling.
            shown = keys.shown_keys(binding, self._keymap, at_most=1)
            parts += [(shown, "$text-accent"), f" {binding.description}   "]
        for name, group in table.items():
            parts.append((f"\n\n{name}", "bold"))
            for shown, text in group:
                parts += [(f"\n  {shown:<{width}}", "$text-accent"), f"  {text}"]
        return Content.assemble(*parts)

    def _rows(self, bindings: Sequence[Binding]) -> list[tuple[str, str]]:
        return [(shown, text) for shown, text, _ in keys.rows(bindings, self._keymap, at_most=2)]
