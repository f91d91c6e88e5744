"""The one place of a screen where it says what went wrong, or what to do."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from torbiz_tui.errors import TorbizError


def error_content(error: TorbizError) -> Content:
    """What happened, why, and the remedy, as plain text with its own colours."""
    parts: list[str | Content | tuple[str, str]] = [("✗ " + error.what, "bold $text-error")]
    if error.why:
        parts.append("\n  " + error.why)
    parts.extend(("\n    " + line, "dim") for line in error.details)
    if error.remedy:
        parts.append(("\n→ " + error.remedy, "bold"))
    return Content.assemble(*parts)


class Notice(Static):
    """A message that stays until it is closed or overtaken; foreign text is shown as it is."""

    DEFAULT_CSS = """
    Notice {
        height: auto;
        max-height: 40%;
        overflow-y: auto;
        margin: 0;
        padding: 0 1;
        background: $surface;
        border-left: outer $error;
        display: none;
    }
    Notice.-information { border-left: outer $primary; }
    Notice.-shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False, id="notice")
        self.text = ""

    @property
    def shown(self) -> bool:
        """Whether there is a message."""
        return self.has_class("-shown")

    def show_error(self, error: TorbizError) -> None:
        """Show an error with its reason and remedy."""
        self._show(error_content(error), information=False)

    def show_text(self, text: str) -> None:
        """Show a plain hint."""
        self._show(Content(text), information=True)

    def _show(self, content: Content, *, information: bool) -> None:
        self.text = content.plain
        self.set_class(information, "-information")
        self.update(content)
        self.add_class("-shown")

    def close(self) -> None:
        """Take the message away."""
        self.text = ""
        self.remove_class("-shown")
