"""What a stored conversation is made of: its turns, which form a tree, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from torbiz_tui.inference.events import FinishReason, GenerateOptions, Message, Role, Route
from torbiz_tui.logs.sanitizing import sanitize_line

TurnState = Literal["complete", "streaming", "interrupted", "failed"]

_TITLE_CHARS = 60
_RENAMED_CHARS = 200


@dataclass(frozen=True)
class Turn:
    """A question or an answer.

    An answer is "streaming" while the program that asked for it lives, "interrupted" when that
    program died, "failed" when the swarm did (`note` says why); its text is kept in each of them.
    One that was stopped is "complete" with the finish reason "cancelled". A question is "failed"
    or "interrupted" when no word of an answer came. `siblings` are the turns that could stand in
    this place, itself among them, oldest first: other answers to a question, other wordings of it.
    The token counts and times are those of AnswerDone; `created_at` is in seconds since 1970.
    Ids below 0 are of turns that could not be stored yet.
    """

    id: int
    parent_id: int | None
    role: Role
    content: str
    state: TurnState = "complete"
    finish_reason: FinishReason | None = None
    model: str = ""
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    first_token_s: float = 0.0
    tokens_per_s: float = 0.0
    dropped_messages: int = 0
    note: str = ""
    route: Route | None = None
    created_at: float = 0.0
    siblings: tuple[int, ...] = ()

    @property
    def branch(self) -> tuple[int, int] | None:
        """Which of how many siblings this is, counted from 1; None when it is the only one."""
        if len(self.siblings) < 2:
            return None
        return self.siblings.index(self.id) + 1, len(self.siblings)


@dataclass(frozen=True)
class Conversation:
    """A conversation as it is shown: `turns` is the path that is chosen through the tree.

    `tree` holds all turns, oldest first, where they were asked for (an export needs them). An id
    of 0 is a draft: it is stored with its first question. `local`: the model is asked in this
    machine's memory, without a swarm.
    """

    id: int
    title: str
    model: str
    swarm: str = ""
    system_prompt: str = ""
    options: GenerateOptions = field(default_factory=GenerateOptions)
    turns: tuple[Turn, ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0
    deleted: bool = False
    tree: tuple[Turn, ...] = ()
    local: bool = False


@dataclass(frozen=True)
class ConversationSummary:
    """A line of the list of conversations.

    `turns` counts all of them, also those of other branches. After a search `snippet` is the text
    around the newest match in a message, in one line, and `turn_id` that message; both are empty
    when only the title matches. `snippet_matches` and `title_matches` are the [first, end) places
    of the words that were looked for.
    """

    id: int
    title: str
    model: str
    updated_at: float
    turns: int
    snippet: str = ""
    snippet_matches: tuple[tuple[int, int], ...] = ()
    title_matches: tuple[tuple[int, int], ...] = ()
    turn_id: int | None = None


def title_of(question: str, limit: int = _TITLE_CHARS) -> str:
    """A title in one safe line: the first `limit` characters of a question, cut between words."""
    line = sanitize_line(" ".join(question.split()))
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    # A first word that is longer than the title has to be cut somewhere.
    head, _, rest = cut.rpartition(" ")
    return (head if len(head) > limit // 2 and rest else cut) + "…"


def renamed(title: str) -> str:
    """A title that a person has given, in one safe line."""
    return title_of(title, _RENAMED_CHARS)


def turns_told(turns: Sequence[Turn]) -> list[Turn]:
    """The turns that the model is told of.

    Chat templates demand that the roles alternate, so a question whose answer has no text is left
    out together with it. The last question, with or without its empty answer, always stays.
    """
    spoken = [turn for turn in turns if turn.role == "user" or turn.content.strip()]
    return [
        turn
        for turn, following in zip_longest(spoken, spoken[1:])
        if turn.role != "user" or following is None or following.role != "user"
    ]


def messages_for(system_prompt: str, turns: Sequence[Turn]) -> list[Message]:
    """What the model is told: the system prompt, then questions and answers in turn."""
    messages = [Message("system", system_prompt)] if system_prompt.strip() else []
    return messages + [Message(turn.role, turn.content) for turn in turns_told(turns)]
