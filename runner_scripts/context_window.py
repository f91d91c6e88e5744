"""Which turns of a long conversation a model still sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Message = dict[str, str]


def dropped_turns(
    messages: Sequence[Message], tokens: Callable[[Message], int], session_tokens: int
) -> int:
    """Return how many of the oldest messages after the system prompt are left out.

    The rule: when a prompt takes more than three quarters of a session, the oldest questions go
    with their answers until it fits in half of one. The quarter is the room for the answer; the
    half is there so that not every turn drops something, since each drop makes the servers compute
    what is left anew. It is applied to the conversation's prompts from the first question on, so
    the same conversation always drops the same, and a longer one never less. The last question
    is never dropped.
    """
    start = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    fixed = sum(tokens(message) for message in messages[:start])
    costs = [tokens(message) for message in messages[start:]]
    questions = [i for i, m in enumerate(messages[start:]) if m["role"] == "user"]
    dropped, total, seen, oldest = 0, fixed, 0, 0
    for number, question in enumerate(questions):
        total += sum(costs[seen : question + 1])
        seen = question + 1
        if total <= session_tokens * 3 // 4:
            continue
        while total > session_tokens // 2 and oldest <= number:
            total -= sum(costs[dropped : questions[oldest]])
            dropped = questions[oldest]
            oldest += 1
    return dropped


def without_dropped(messages: Sequence[Message], dropped: int) -> list[Message]:
    """Return the messages that are left when so many after the system prompt are dropped."""
    start = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    return [*messages[:start], *messages[start + dropped :]]
