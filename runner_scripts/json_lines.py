"""The JSON lines between the app and a runner: one object a line, UTF-8, `type` first."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from log_lines import runner_logger
from process_signals import close_in_children

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_STOP_TEXTS = 16
ROLES = ("system", "user", "assistant")


class ProtocolWriter:
    """Writes events to the real stdout; whole lines, from any thread."""

    def __init__(self, descriptor: int, on_broken: Callable[[], None] = lambda: None) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self.on_broken = on_broken

    @classmethod
    def take_stdout(cls) -> ProtocolWriter:
        """Keep stdout for the protocol and point descriptor 1 at stderr, for C code as well."""
        descriptor = os.dup(1)
        os.dup2(2, 1)
        close_in_children(descriptor)
        return cls(descriptor)

    def write(self, event: dict[str, Any]) -> None:
        """Write one event as a line."""
        self.write_bytes(encode_line(event))

    def write_bytes(self, data: bytes) -> None:
        """Write `data` whole; call `on_broken` when nobody reads any more."""
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                self.on_broken()


def encode_line(event: dict[str, Any]) -> bytes:
    """Return one event as a line."""
    line = json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
    return line.encode("utf-8", "replace")


@dataclass(frozen=True)
class GenerateRequest:
    """A question: the whole conversation, and how to answer it.

    With `prompt` in place of messages, that text is continued as it stands. Questions of one
    `conversation` share a session. The answer ends before the first of the `stop` texts.
    """

    id: str
    messages: tuple[dict[str, str], ...]
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...] = ()
    prompt: str | None = None
    conversation: str = ""


@dataclass(frozen=True)
class CancelRequest:
    """Stop the answer with this id."""

    id: str


@dataclass(frozen=True)
class ReleaseRequest:
    """Give up what servers hold for this conversation."""

    conversation: str


@dataclass(frozen=True)
class ShutdownRequest:
    """End the runner."""


Request = GenerateRequest | CancelRequest | ReleaseRequest | ShutdownRequest


class BadRequestError(Exception):
    """A line that parsed but does not say what it must; the text names field and value."""

    def __init__(self, request_id: str | None, message: str) -> None:
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True)
class GenerationDefaults:
    """What a `generate` line without these fields gets."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


class LineSplitter:
    """Puts bytes, as they come, together to lines; lines that are too long are skipped."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the lines that they complete, without empty ones."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._add(end)
            lines.append(self._take())
        self._add(rest)
        return [line for line in lines if line.strip()]

    def finish(self) -> list[bytes]:
        """Return what came after the last end of a line."""
        return [line for line in [self._take()] if line.strip()]

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= MAX_LINE_BYTES:
            self._parts.append(part)
        else:
            self._parts.clear()

    def _take(self) -> bytes:
        if self._size > MAX_LINE_BYTES:
            runner_logger().warning("Skipped a line of more than %d bytes.", MAX_LINE_BYTES)
        line = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line


def read_lines(descriptor: int) -> Iterator[bytes]:
    """Yield lines until the end of the input, skipping those that are too long."""
    splitter = LineSplitter()
    while data := os.read(descriptor, 65536):
        yield from splitter.feed(data)
    yield from splitter.finish()


def parse_line(line: bytes, defaults: GenerationDefaults) -> Request | None:
    """Parse one line; None (and a log line) when it is not a request at all.

    Raises BadRequestError for a request with a wrong field.
    """
    try:
        event = json.loads(line.decode("utf-8"))
        kind = event["type"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        runner_logger().warning(
            "Skipped a line that is not a JSON object with a type: %s", type(error).__name__
        )
        return None
    if kind == "shutdown":
        return ShutdownRequest()
    if kind == "cancel":
        return CancelRequest(_request_id(event))
    if kind == "release":
        return ReleaseRequest(_conversation(event, None))
    if kind == "generate":
        return _parse_generate(event, defaults)
    raise BadRequestError(
        event["id"] if isinstance(event.get("id"), str) else None,
        f"type is {_shown(kind)}; accepted are generate, cancel, release and shutdown.",
    )


def _parse_generate(event: dict[str, Any], defaults: GenerationDefaults) -> GenerateRequest:
    request_id = _request_id(event)
    prompt = _prompt(event)
    return GenerateRequest(
        id=request_id,
        messages=_messages(event.get("messages"), request_id) if prompt is None else (),
        max_new_tokens=int(
            _number(event, "max_new_tokens", 1, 1_000_000, defaults.max_new_tokens, whole=True)
        ),
        temperature=_number(event, "temperature", 0, 10, defaults.temperature),
        top_p=_number(event, "top_p", 0, 1, defaults.top_p),
        seed=_seed(event, defaults.seed),
        stop=_stop(event),
        prompt=prompt,
        conversation=_conversation(event, request_id),
    )


def _request_id(event: dict[str, Any]) -> str:
    value = event.get("id")
    if isinstance(value, str) and 0 < len(value) <= 200 and _is_unicode(value):
        return value
    raise BadRequestError(
        None, f"id is {_shown(value)}; accepted is a text of 1 to 200 characters."
    )


def _prompt(event: dict[str, Any]) -> str | None:
    value = event.get("prompt")
    if value is None:
        return None
    if event.get("messages") is not None:
        raise BadRequestError(
            event["id"], f"prompt is {_shown(value)} beside messages; accepted is one of the two."
        )
    if isinstance(value, str) and value and _is_unicode(value):
        return value
    raise BadRequestError(
        event["id"],
        f"prompt is {_shown(value)}; accepted is a text of at least one character.",
    )


def _conversation(event: dict[str, Any], request_id: str | None) -> str:
    value = event.get("conversation")
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= 200 and _is_unicode(value):
        return value
    raise BadRequestError(
        request_id,
        f"conversation is {_shown(value)}; accepted is a text of at most 200 characters.",
    )


def _stop(event: dict[str, Any]) -> tuple[str, ...]:
    value = event.get("stop")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_STOP_TEXTS:
        raise BadRequestError(
            event["id"],
            f"stop is {_shown(value)}; accepted is a list of at most {MAX_STOP_TEXTS} texts.",
        )
    for index, text in enumerate(value):
        if not isinstance(text, str) or not 0 < len(text) <= 200 or not _is_unicode(text):
            raise BadRequestError(
                event["id"],
                f"stop[{index}] is {_shown(text)}; accepted is a text of 1 to 200 characters.",
            )
    return tuple(value)


def _messages(value: Any, request_id: str) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list) or not value:
        raise BadRequestError(
            request_id, f"messages is {_shown(value)}; accepted is a list of at least one message."
        )
    messages = []
    for index, message in enumerate(value):
        if not isinstance(message, dict):
            raise BadRequestError(
                request_id,
                f"messages[{index}] is {_shown(message)}; accepted is an object with role"
                " and content.",
            )
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise BadRequestError(
                request_id,
                f"messages[{index}].role is {_shown(role)}; accepted are {', '.join(ROLES)}.",
            )
        if not isinstance(content, str) or not _is_unicode(content):
            raise BadRequestError(
                request_id, f"messages[{index}].content is {_shown(content)}; accepted is a text."
            )
        messages.append({"role": str(role), "content": content})
    if messages[-1]["role"] != "user":
        raise BadRequestError(
            request_id,
            f"messages[{len(messages) - 1}].role is {_shown(messages[-1]['role'])};"
            " accepted for the last message is user.",
        )
    return tuple(messages)


def _number(
    event: dict[str, Any], field: str, low: int, high: int, default: float, whole: bool = False
) -> float:
    value = event.get(field)
    if value is None:
        return default
    kinds = (int,) if whole else (int, float)
    if isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high:
        return value
    accepted = f"a {'whole ' * whole}number from {low} to {high}"
    raise BadRequestError(event["id"], f"{field} is {_shown(value)}; accepted is {accepted}.")


def _seed(event: dict[str, Any], default: int | None) -> int | None:
    value = event.get("seed")
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise BadRequestError(
        event["id"], f"seed is {_shown(value)}; accepted is a whole number from 0 to 2^63 - 1."
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can carry
        return False
    return True


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
