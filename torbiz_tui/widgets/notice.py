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


EXPLAINS = "F5 explains it."


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
        self.error: TorbizError | None = None

    @property
    def shown(self) -> bool:
        """Whether there is a message."""
        return self.has_class("-shown")

    def show_error(self, error: TorbizError) -> None:
        """Show an error with its reason and remedy."""
        content = error_content(error)
        if error.symptom:
            content = Content.assemble(content, ("\n  " + EXPLAINS, "dim"))
        self._show(content, information=False, error=error)

    def show_text(self, text: str) -> None:
        """Show a plain hint."""
        self._show(Content(text), information=True)

    def _show(
        self, content: Content, *, information: bool, error: TorbizError | None = None
    ) -> None:
        self._is_of(error)
        self.text = content.plain
        self.set_class(information, "-information")
        self.update(content)
        self.add_class("-shown")

    def close(self) -> None:
        """Take the message away."""
        self._is_of(None)
        self.text = ""
        self.remove_class("-shown")

    def _is_of(self, error: TorbizError | None) -> None:
        before, self.error = self.error, error
        if before is not error:
            # Whether there is something to explain.
            self.screen.refresh_bindings()
