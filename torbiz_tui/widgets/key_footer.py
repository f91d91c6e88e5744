"""The line of keys, which is made anew only when it says something else, and when there is time."""

from __future__ import annotations

from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Footer

# So long after the focus has moved: what the key has done is on the screen by then.
_LATER_S = 0.2


class KeyFooter(Footer):
    """A `Footer` that does not hold up what a key does: making it costs as much as all the rest."""

    DEFAULT_CSS = """
    KeyFooter.-compact FooterKey.-command-palette { margin: 0; padding-right: 1; }
    """

    def __init__(self) -> None:
        super().__init__(compact=True)
        self._shown: list[tuple[object, ...]] | None = None
        self._focused: Widget | None = None
        self._later: Timer | None = None

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Show the keys that there are now."""
        del screen
        if self._focused in (None, self.screen.focused):
            self._show()
        elif self._later is None:
            self._later = self.set_timer(_LATER_S, self._show)

    def _show(self) -> None:
        self._later = None
        self._focused = self.screen.focused
        keys = self._keys()
        if keys != self._shown and self.app.app_focus:
            self._shown = keys
            super().bindings_changed(self.screen)

    def _keys(self) -> list[tuple[object, ...]]:
        """What decides what is shown."""
        return [
            (binding, enabled, tooltip)
            for _, binding, enabled, tooltip in self.screen.active_bindings.values()
            if binding.show
        ]
