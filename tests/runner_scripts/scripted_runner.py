"""The chat runner with a model that needs no Petals: it says the question's words again and again.

It stands in for run_petals_inference.py and takes the same options. `--model-name` is a folder;
its file `missing`, if there is one, has the block ranges that nobody serves as JSON, and a file
`broken` makes the start fail.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runner_scripts"))

import process_signals  # type: ignore[import-not-found]
import run_petals_inference  # type: ignore[import-not-found]
from chat_answer import Answer, Hop, Route  # type: ignore[import-not-found]
from chat_errors import ChatError  # type: ignore[import-not-found]

TOKEN_S = 0.005


class ScriptedModel:
    """Keeps a conversation's name as its session."""

    num_blocks = 8
    max_tokens = 2048
    has_chat_template = True
    prompt_format = "template"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: set[str] = set()

    @property
    def has_session(self) -> bool:
        """Whether a conversation is held."""
        return bool(self._held)

    def look_up_route(self) -> Any:
        """Read the ranges from the file."""
        try:
            missing = json.loads((self._folder / "missing").read_text("utf-8"))
        except FileNotFoundError:
            return Route(8, (Hop(0, 8, "12D3KooWpeer", "alice"),))
        return Route(8, missing=tuple((first, end) for first, end in missing))

    def prepare_route(self) -> None:
        """Nothing to prepare."""

    def generate(self, answer: Any) -> str:
        """Say the words until there are enough."""
        assert isinstance(answer, Answer)
        request = answer.request
        words = (request.prompt or request.messages[-1]["content"]).split()
        answer.reused_tokens = int(request.conversation in self._held)
        self._held.add(request.conversation)
        answer.notify({"type": "started", "prompt_tokens": len(words)})
        for index in range(request.max_new_tokens):
            if answer.cancelled.wait(TOKEN_S):
                return "cancelled"
            answer.tokens.append(index)
            answer.deliver(words[index % len(words)] + " ")
        return "length"

    def release(self, conversation: str) -> None:
        """Forget a conversation."""
        self._held.discard(conversation)

    def close_idle(self, older_than_s: float) -> None:
        """Sessions never grow old here."""

    def close(self) -> None:
        """Nothing is open."""


def start_scripted_model(options: Any, status: Callable[[str], None]) -> ScriptedModel:
    """Start it, with the stages that the real one has."""
    folder = Path(options.model_name)
    status("importing")
    if (folder / "broken").exists():
        raise ChatError("model_not_found", "The model is broken.")
    status("connecting")
    return ScriptedModel(folder)


if __name__ == "__main__":
    run_petals_inference.start_model = start_scripted_model
    process_signals.end_now(run_petals_inference.main())
