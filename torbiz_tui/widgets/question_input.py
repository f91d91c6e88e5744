"""The field in which a question is written."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from torbiz_tui.widgets import keys


class QuestionInput(TextArea):
    """Several lines; Enter sends, Ctrl+J (Shift+Enter where the terminal tells) begins a new one."""

    BINDINGS = [*keys.QUESTION]
    DEFAULT_CSS = """
    QuestionInput {
        height: auto;
        min-height: 1;
        max-height: 8;
        border: none;
        padding: 0;
        background: $surface;
    }
    QuestionInput:focus { border: none; }
    """

    class Sent(Message):
        """The person wants an answer to this."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(
            id="question",
            soft_wrap=True,
            tab_behavior="focus",
            placeholder="Ask a question. Enter sends, Ctrl+J begins a new line.",
            compact=True,
            highlight_cursor_line=False,
        )
        self._last = ""

    async def _on_key(self, event: events.Key) -> None:
        # The text field takes Enter for itself before any binding is looked at.
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            self.action_send()
            return
        await super()._on_key(event)

    def action_send(self) -> None:
        """Hand the text on; an empty one is not sent."""
        if self.text.strip():
            self._last = self.text
            self.post_message(self.Sent(self.text))

    def action_newline(self) -> None:
        """Begin a new line where the cursor is."""
        self.insert("\n")

    def action_recall(self) -> None:
        """In an empty field: the last question; otherwise one line up."""
        if self.text or not self._last:
            self.action_cursor_up()
        else:
            self.put(self._last)

    def put(self, text: str) -> None:
        """Replace the text and go to its end."""
        self.text = text
        self.move_cursor(self.document.end)
