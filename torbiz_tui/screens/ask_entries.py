"""A conversation as the transcript shows it: its messages, and the rules between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torbiz_tui.inference.conversations import Turn, turns_told
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.widgets.durations import duration
from torbiz_tui.widgets.model_name import short_model
from torbiz_tui.widgets.route_line import servers_text
from torbiz_tui.widgets.transcript import Entry

FULL = "the model no longer reads what is above: the session is full"
# Messages have the ids of their turns; ids below 0 are of turns that could not be stored.
_RULES = 1 << 60
FULL_KEY = _RULES * 4
_NEXT_MODEL_KEY = FULL_KEY + 1


@dataclass(frozen=True)
class Shown:
    """What is shown besides the turns: texts of running answers by turn, and notes of this run.

    `model` is the one that answers next, `dropped` how many of the oldest messages it does not
    read any more.
    """

    model: str = ""
    dropped: int = 0
    texts: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)


def entries(turns: Sequence[Turn], shown: Shown) -> list[Entry]:
    """The messages in order, a rule where another model answers, one where the session begins."""
    made: list[Entry] = []
    model = ""
    first_read = _first_read(turns, shown.dropped)
    for index, turn in enumerate(turns):
        if turn.id == first_read:
            made.append(Entry(FULL_KEY, "rule", FULL, ""))
        answered_by = _answered_by(turns, index)
        if turn.role == "user" and model and answered_by and answered_by != model:
            made.append(_model_rule(_RULES + turn.id, answered_by))
        if turn.role == "assistant" and turn.model:
            model = turn.model
        made.append(_entry(turn, shown))
    if model and shown.model and shown.model != model:
        made.append(_model_rule(_NEXT_MODEL_KEY, shown.model))
    return made


def _first_read(turns: Sequence[Turn], dropped: int) -> int | None:
    """The turn that the model reads first when so many messages were dropped before it."""
    told = turns_told(turns) if dropped else ()
    return told[dropped].id if 0 < dropped < len(told) else None


def _answered_by(turns: Sequence[Turn], index: int) -> str:
    following = turns[index + 1] if index + 1 < len(turns) else None
    return following.model if following is not None and following.role == "assistant" else ""


def _model_rule(key: int, model: str) -> Entry:
    return Entry(key, "rule", f"from here on: {short_model(model)}", "")


def _entry(turn: Turn, shown: Shown) -> Entry:
    heading = "You" if turn.role == "user" else short_model(turn.model) or "Answer"
    return Entry(
        turn.id,
        turn.role,
        heading,
        shown.texts.get(turn.id, turn.content),
        note=" · ".join(part for part in (turn_note(turn), shown.notes.get(turn.id, "")) if part),
        branch=turn.branch,
    )


def turn_note(turn: Turn) -> str:
    """`42 tokens · 12.3 tokens/s · first after 0.4 s · …`, and how it ended when not by itself."""
    if turn.role == "user":
        reason = f": {sanitize_line(turn.note)}" if turn.note else ""
        return "" if turn.state == "complete" else f"not answered{reason}"
    if turn.state == "streaming":
        return ""
    parts = _measured(turn)
    if turn.state == "interrupted":
        parts.append("interrupted: the program was closed while it was written")
    elif turn.state == "failed":
        reason = f": {sanitize_line(turn.note)}" if turn.note else ""
        parts.append(f"interrupted{reason}")
    elif turn.finish_reason == "cancelled":
        parts.append("stopped by you")
    elif turn.finish_reason == "length":
        parts.append("cut off at the length limit")
    if turn.route is not None and (servers := servers_text(turn.route)):
        parts.append(servers)
    return " · ".join(parts)


def _measured(turn: Turn) -> list[str]:
    count = turn.completion_tokens
    if not count:
        return []
    parts = ["1 token" if count == 1 else f"{count} tokens", f"{turn.tokens_per_s:.1f} tokens/s"]
    parts.append(f"first after {duration(turn.first_token_s)}")
    if turn.reused_tokens:
        parts.append(f"{turn.reused_tokens} of {turn.prompt_tokens} prompt tokens reused")
    return parts
