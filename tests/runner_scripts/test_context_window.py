"""What a long conversation leaves out, without a model."""

from __future__ import annotations

import importlib
import itertools
import sys
from types import ModuleType

import pytest

from .runner_process import SCRIPTS

Messages = list[dict[str, str]]


@pytest.fixture(scope="module")
def window() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module("context_window")
    finally:
        sys.path.remove(str(SCRIPTS))


def length(message: dict[str, str]) -> int:
    return len(message["content"])


def conversation(pairs: int, size: int, system: int = 0) -> Messages:
    messages = [{"role": "system", "content": "s" * system}] if system else []
    for _ in range(pairs):
        messages.append({"role": "user", "content": "q" * size})
        messages.append({"role": "assistant", "content": "a" * size})
    return [*messages, {"role": "user", "content": "q" * size}]


def test_nothing_is_dropped_up_to_three_quarters(window: ModuleType) -> None:
    assert window.dropped_turns(conversation(7, 50), length, 1000) == 0
    assert window.dropped_turns(conversation(8, 50), length, 1000) > 0


def test_whole_pairs_go_and_half_is_left(window: ModuleType) -> None:
    messages = conversation(7, 50, system=100)
    dropped = window.dropped_turns(messages, length, 1000)
    left = window.without_dropped(messages, dropped)
    assert dropped % 2 == 0
    assert left[0]["role"] == "system"
    assert left[1]["role"] == "user"
    assert 400 < sum(map(length, left)) <= 500


def test_a_growing_conversation_never_drops_less_and_seldom_more(window: ModuleType) -> None:
    counts = [window.dropped_turns(conversation(pairs, 50), length, 1000) for pairs in range(200)]
    assert counts == sorted(counts)
    changes = sum(before != after for before, after in itertools.pairwise(counts))
    assert 30 < changes < 60  # each makes room for some turns
    for pairs, dropped in enumerate(counts):
        left = window.without_dropped(conversation(pairs, 50), dropped)
        assert sum(map(length, left)) <= 750


def test_the_last_question_stays(window: ModuleType) -> None:
    messages = [*conversation(3, 50), {"role": "assistant", "content": "a"}]
    messages.append({"role": "user", "content": "q" * 5000})
    dropped = window.dropped_turns(messages, length, 1000)
    assert window.without_dropped(messages, dropped) == messages[-1:]
