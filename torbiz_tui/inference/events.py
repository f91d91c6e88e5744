"""What a chat answers with, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled"]

STAGE_TITLES = {
    "importing": "Loading Petals",
    "tokenizer": "Loading the tokenizer",
    "connecting": "Connecting to the swarm",
    "routing": "Finding servers",
    "ready": "Ready",
}


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class GenerateOptions:
    """How to answer; temperature 0 is greedy, `seed` None is a different answer each time."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class StageChanged:
    """The runner is warming up: `stage` is a key of STAGE_TITLES."""

    stage: str


@dataclass(frozen=True)
class TokenReceived:
    """The next piece of the answer, sanitized."""

    text: str


@dataclass(frozen=True)
class AnswerDone:
    """The answer is complete; times in seconds."""

    finish_reason: FinishReason
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    first_token_s: float
    tokens_per_s: float


ChatEvent = StageChanged | TokenReceived | AnswerDone
