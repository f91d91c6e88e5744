"""How a conversation is answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from torbiz_tui.inference.events import GenerateOptions


@dataclass(frozen=True)
class AnswerSettings:
    """What the model is told before the conversation, and how it answers.

    `local`: on this machine, where no adapter can be had.
    """

    system_prompt: str = ""
    options: GenerateOptions = field(default_factory=GenerateOptions)
    local: bool = False
