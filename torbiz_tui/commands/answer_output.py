"""How `ask` prints an answer: as text, or as JSON lines."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import asdict

from torbiz_tui.commands.output import someone_reads, someone_watches, tell, write, write_json
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import (
    DOWNLOADING,
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    Recovered,
    Recovering,
    Route,
    RouteChanged,
    StageChanged,
    TokenReceived,
    blocks_text,
)

DOWNLOAD_TOLD_S = 5.0


class AnswerOutput(ABC):
    """Where the events of one answer of `model` go; it raises what `write` raises."""

    model = ""

    @abstractmethod
    def take(self, event: ChatEvent) -> None:
        """Print an event."""

    @abstractmethod
    def finish(self, reason: str, conversation: int | None) -> None:
        """Print the end; `reason` is how it ended where the model has not said so."""

    @abstractmethod
    def fail(self, error: TorbizError, conversation: int | None) -> None:
        """Print that there is no end."""


class TextOutput(AnswerOutput):
    """The answer as text on stdout; what happens meanwhile on stderr, if that is a terminal."""

    def __init__(self) -> None:
        self._last = ""
        self._stage = ""
        self._download_told = -DOWNLOAD_TOLD_S
        self._done: AnswerDone | None = None

    def take(self, event: ChatEvent) -> None:
        """Print a piece of the answer, or tell what happens."""
        if isinstance(event, TokenReceived):
            self._last = event.text or self._last
            write(event.text)
        elif isinstance(event, AnswerDone):
            self._done = event
        elif someone_watches():
            self._tell(event)

    def _tell(self, event: ChatEvent) -> None:
        if isinstance(event, StageChanged):
            self._tell_stage(event)
        elif isinstance(event, AnswerStarted):
            if dropped := event.dropped_messages:
                which = "message does" if dropped == 1 else f"{dropped} messages do"
                tell(f"The oldest {which} not fit any more: the model does not see them.")
        elif isinstance(event, Recovering):
            if someone_reads():
                # Two lines in one would be unreadable; a file gets the answer as it is.
                self._end_line()
            blocks = blocks_text(((event.first, event.end),))
            tell(f"Looking for another server for blocks {blocks} …")
        elif isinstance(event, Recovered):
            tell(f"Going on after {event.seconds:.1f} s.")

    def _tell_stage(self, now: StageChanged) -> None:
        download = now.download
        if now.stage == DOWNLOADING and download is not None:
            # A line for each number would be hundreds of them.
            due = time.monotonic() - self._download_told >= DOWNLOAD_TOLD_S
            if due or download.waiting or download.done >= download.total:
                self._download_told = time.monotonic()
                tell(now.text)
        elif now.stage and now.stage != self._stage:
            tell(f"{now.title} …")
        self._stage = now.stage or self._stage

    def finish(self, reason: str, conversation: int | None) -> None:  # noqa: ARG002
        """End the line."""
        self._end_line()
        done = self._done
        if done is not None and done.finish_reason == "length" and someone_watches():
            tell(f"The answer was cut after {done.completion_tokens} tokens (--max-tokens).")

    def fail(self, error: TorbizError, conversation: int | None) -> None:  # noqa: ARG002
        """End the line; the error itself is told where all are."""
        self._end_line()

    def _end_line(self) -> None:
        if self._last and not self._last.endswith("\n"):
            self._last = "\n"
            write("\n")


class JsonOutput(AnswerOutput):
    """One JSON object a line and event, as `docs/commands.md` describes them."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._pieces: list[str] = []
        self._done: AnswerDone | None = None

    def take(self, event: ChatEvent) -> None:
        """Print an event; the end waits until it is known where the answer is kept."""
        if isinstance(event, AnswerDone):
            self._done = event
            return
        if isinstance(event, TokenReceived):
            self._pieces.append(event.text)
        line = _line_of(event)
        if line is not None:
            write_json(line)

    def finish(self, reason: str, conversation: int | None) -> None:
        """Print the whole answer once more, with what is known of it."""
        done = self._done
        usage = ("prompt_tokens", "reused_tokens", "completion_tokens")
        timing = ("first_token_s", "tokens_per_s")
        write_json(
            {
                "type": "done",
                "model": self.model,
                "prompt": self._prompt,
                "answer": "".join(self._pieces),
                "finish_reason": done.finish_reason if done is not None else reason,
                "usage": {name: getattr(done, name, None) for name in usage},
                "timing": {name: getattr(done, name, None) for name in timing},
                "route": _route(done.route) if done is not None and done.route else None,
                "conversation": conversation,
            }
        )

    def fail(self, error: TorbizError, conversation: int | None) -> None:
        """Print the error, with the answer as far as it came."""
        missing = error.missing if isinstance(error, NotServedError) else ()
        write_json(
            {
                "type": "error",
                "code": error.code,
                "message": error.what,
                "why": error.why,
                "remedy": error.remedy,
                "missing": [list(blocks) for blocks in missing],
                "answer": "".join(self._pieces),
                "conversation": conversation,
            }
        )


def _line_of(event: ChatEvent) -> dict[str, object] | None:
    match event:
        case StageChanged(stage, download):
            facts = {"download": asdict(download)} if download is not None else {}
            return {"type": "stage", "stage": stage, **facts} if stage else None
        case RouteChanged(route):
            return {"type": "route", **_route(route)}
        case AnswerStarted():
            facts = {name: value for name, value in vars(event).items() if name != "route"}
            return {"type": "started", **facts, "route": _route(event.route)}
        case TokenReceived(text):
            return {"type": "token", "text": text}
        case Recovering(first, end):
            return {"type": "recovering", "first": first, "end": end}
        case Recovered(seconds, route):
            return {"type": "recovered", "seconds": seconds, "route": _route(route)}
    return None


def _route(route: Route) -> dict[str, object]:
    return {
        "num_blocks": route.num_blocks,
        "complete": route.complete,
        "missing": [list(blocks) for blocks in route.missing],
        "hops": [asdict(hop) for hop in route.hops],
        "local": route.local,
    }
