"""A conversation alone on a terminal: streams the text of a file, three characters at a time."""

from __future__ import annotations

import sys
from pathlib import Path

from textual.app import App, ComposeResult

from torbiz_tui.widgets.transcript import Entry, Transcript


class Conversation(App[None]):
    def compose(self) -> ComposeResult:
        yield Transcript()

    def on_mount(self) -> None:
        text = Path(sys.argv[1]).read_bytes().decode("utf-8", "surrogatepass")
        transcript = self.query_one(Transcript)
        transcript.focus()
        transcript.show(
            [Entry(1, "user", f"You {text}", text), Entry(2, "assistant", f"model {text}", "")]
        )
        for at in range(0, len(text), 3):
            transcript.write(2, text[at : at + 3])
        transcript.finish(2, f"note {text}")
        transcript.add(Entry(3, "rule", f"rule {text}", ""))
        transcript.add(Entry(4, "user", "You", "THE END"))


if __name__ == "__main__":
    Conversation().run()
