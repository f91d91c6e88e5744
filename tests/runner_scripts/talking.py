"""Questions to a chat runner, and what came back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from .runner_process import Event, RunnerProcess

_ids = itertools.count()


@dataclass(frozen=True)
class Reply:
    """The events of one answer."""

    events: list[Event]

    @property
    def text(self) -> str:
        return "".join(event["text"] for event in self.of("token"))

    @property
    def pieces(self) -> list[str]:
        return [event["text"] for event in self.of("token")]

    @property
    def end(self) -> Event:
        return self.events[-1]

    @property
    def started(self) -> Event:
        (event,) = self.of("started")
        return event

    @property
    def reused(self) -> int:
        return int(self.end["usage"]["reused_tokens"])

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]


def user(*turns: str) -> list[dict[str, str]]:
    """A conversation in which the user begins and the turns alternate."""
    roles = itertools.cycle(("user", "assistant"))
    return [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]


def send(runner: RunnerProcess, messages: Any = None, **fields: Any) -> str:
    """Ask and do not wait; return the id."""
    request_id = f"talk{next(_ids)}"
    event = {"type": "generate", "id": request_id, "max_new_tokens": 20, **fields}
    if messages is not None:
        event["messages"] = messages
    runner.send(event)
    return request_id


def reply_to(
    runner: RunnerProcess,
    request_id: str,
    before: list[Event] | None = None,
    timeout_s: float = 120,
) -> Reply:
    """Wait for the end of an answer; `before` are events of it that were taken already."""
    events = runner.until(
        lambda event: event.get("id") == request_id and event["type"] in ("done", "error"),
        timeout_s,
    )
    return Reply([event for event in [*(before or []), *events] if event.get("id") == request_id])


def talk(runner: RunnerProcess, messages: Any = None, **fields: Any) -> Reply:
    """Ask and wait for the whole answer."""
    return reply_to(runner, send(runner, messages, **fields))


def tokens_of(runner: RunnerProcess, request_id: str, count: int) -> list[Event]:
    """Wait for so many pieces of an answer."""
    events: list[Event] = []
    while sum(event["type"] == "token" for event in events) < count:
        events.append(runner.next_event())
        assert events[-1]["type"] not in ("done", "error"), events[-1]
    return events
