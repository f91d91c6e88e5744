"""The field in which a question is written."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from torbiz_tui.widgets import keys
from torbiz_tui.widgets.folding import Folds

_SEARCHED = 1000


class QuestionInput(TextArea):
    """Several lines; Enter sends, Ctrl+J (Shift+Enter where the terminal tells) begins a new one.

    A text that is too long to be wrapped at every key stands folded in the field.
    """

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
        self._folds = Folds()
        self._earlier: list[str] = []
        self._at: int | None = None
        self._recalled = ""
        self._draft = ""

    # The text as it was meant, and as it stands

    @property
    def question(self) -> str:
        """The whole text, unfolded."""
        return self._folds.unfold(self.text)

    def put(self, text: str) -> None:
        """Replace the text and go to its end."""
        self.text = self._folds.fold(text)
        self.move_cursor(self.document.end)

    async def _on_paste(self, event: events.Paste) -> None:
        # TextArea would insert it whole, and wrap all of its line at every key from then on.
        event.prevent_default()
        event.stop()
        if not self.read_only:
            text = event.text.replace("\r\n", "\n").replace("\r", "\n")
            line = self.document[self.cursor_location[0]]
            self._insert(self._folds.fold_paste(text, beside=len(line)))

    def action_paste(self) -> None:
        """Insert what was copied or cut in this program."""
        text = self.app.clipboard
        line = self.document[self.cursor_location[0]]
        self._insert(self._folds.fold_paste(text, beside=len(line)))

    def _insert(self, text: str) -> None:
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)

    def action_delete_left(self) -> None:
        """Delete a character; a folded text goes as a whole."""
        row, column = self.cursor_location
        length = self._folds.ends_with_fold(self.document[row][:column])
        if length and self.selection.is_empty:
            self.delete((row, column - length), (row, column), maintain_selection_offset=False)
        else:
            super().action_delete_left()

    # Sending

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
            self.post_message(self.Sent(self.question))

    def action_newline(self) -> None:
        """Begin a new line where the cursor is."""
        self._insert("\n")

    # Earlier questions

    def set_earlier(self, questions: Sequence[str]) -> None:
        """What Up recalls, the newest first."""
        self._earlier = list(questions)
        self._at = None

    def remember(self, question: str) -> None:
        """Put a question before the earlier ones."""
        if question in self._earlier[:_SEARCHED]:
            self._earlier.remove(question)
        self._earlier.insert(0, question)
        self._at = None

    def action_recall(self) -> None:
        """On the first row the question before; otherwise one row up."""
        if self._row > 0:
            self.action_cursor_up()
            return
        at = self._place + 1
        if at < len(self._earlier):
            if at == 0:
                self._draft = self.text
            self._show_earlier(at, upwards=True)

    def action_recall_back(self) -> None:
        """On the last row the question after, at last the draft; otherwise one row down."""
        if self._row < self.wrapped_document.height - 1 or self._place < 0:
            self.action_cursor_down()
        elif self._place == 0:
            self._at = None
            self.text = self._draft
            self.move_cursor(self.document.end)
        else:
            self._show_earlier(self._place - 1, upwards=False)

    @property
    def _row(self) -> int:
        return self.wrapped_document.location_to_offset(self.cursor_location).y

    @property
    def _place(self) -> int:
        """Which of the earlier questions is shown, -1 for none: what was changed is a draft."""
        return self._at if self._at is not None and self.text == self._recalled else -1

    def _show_earlier(self, at: int, *, upwards: bool) -> None:
        self.put(self._earlier[at])
        self._at, self._recalled = at, self.text
        if upwards and self.wrapped_document.height > 1:
            # So that the next Up goes on, and does not walk through this one's rows first.
            self.move_cursor((0, 0))
