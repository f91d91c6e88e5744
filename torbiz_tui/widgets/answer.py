"""A question and its answer in the conversation."""

from __future__ import annotations

import time
from collections.abc import Iterator

from markdown_it import MarkdownIt
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from torbiz_tui.inference.events import AnswerDone
from torbiz_tui.widgets.durations import duration


def _parser() -> MarkdownIt:
    """Markdown without anything to click, to load or to hide.

    Links and HTML of a model stay visible as the text that they are.
    """
    parser = MarkdownIt("gfm-like", {"html": False, "linkify": False})
    return parser.disable(["link", "image", "autolink"])


class Question(Vertical):
    """What the person wrote, as plain text."""

    DEFAULT_CSS = """
    Question { height: auto; margin: 1 0 0 0; }
    Question Static { height: auto; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def compose(self) -> Iterator[Widget]:
        """Who, and what."""
        yield Static(Content.styled("You", "bold $text-accent"))
        yield Static(self.text, markup=False)


class Answer(Vertical):
    """What the model writes, as it comes."""

    DEFAULT_CSS = """
    Answer { height: auto; margin: 1 0 0 0; }
    Answer Static { height: auto; }
    Answer Markdown { height: auto; padding: 0; margin: 0; background: $background; }
    Answer .note { color: $text-muted; }
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model
        self._pieces: list[str] = []
        self._stream: MarkdownStream | None = None
        self._begun: float | None = None

    def compose(self) -> Iterator[Widget]:
        """Who, the text, and a line on how it went."""
        yield Static(Content.styled(self._model, "bold $text-success"))
        yield Markdown(parser_factory=_parser, open_links=False)
        yield Static(classes="note", markup=False)

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self._pieces)

    @property
    def pieces(self) -> int:
        """How many tokens have come."""
        return len(self._pieces)

    async def write(self, text: str) -> None:
        """Add the next piece."""
        if self._stream is None:
            self._stream = Markdown.get_stream(self.query_one(Markdown))
            self._begun = time.monotonic()
        self._pieces.append(text)
        await self._stream.write(text)

    async def finish(self, note: str) -> None:
        """Nothing more comes; say how it went."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
        self.query_one(".note", Static).update(note)


def done_note(done: AnswerDone) -> str:
    """`42 tokens · 12.3 tokens/s · first after 0.4 s`."""
    tokens = "1 token" if done.completion_tokens == 1 else f"{done.completion_tokens} tokens"
    parts = [tokens]
    if done.completion_tokens:
        parts.append(f"{done.tokens_per_s:.1f} tokens/s")
        parts.append(f"first after {duration(done.first_token_s)}")
    if done.finish_reason == "cancelled":
        parts.append("stopped by you")
    elif done.finish_reason == "length":
        parts.append("cut off at the length limit")
    return " · ".join(parts)
