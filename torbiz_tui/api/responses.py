"""What other programs receive: OpenAI's objects, whole and as chunks of a stream."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torbiz_tui import __version__
from torbiz_tui.inference.events import AnswerDone

END_OF_STREAM = b"data: [DONE]\n\n"
KEEP_ALIVE = b": waiting\n\n"


class Reply(ABC):
    """The objects of one answer; all of them carry the same id."""

    prefix: str
    object_name: str
    chunk_name: str

    def __init__(self, model: str, *, include_usage: bool = False) -> None:
        self._id = f"{self.prefix}-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._include_usage = include_usage

    def whole(self, text: str, done: AnswerDone) -> dict[str, Any]:
        """The answer in one object."""
        choice = self._choice(text) | {"finish_reason": done.finish_reason}
        return self._object(self.object_name, [choice]) | {"usage": usage(done)}

    @abstractmethod
    def first(self) -> list[dict[str, Any]]:
        """The chunks before the first piece."""

    @abstractmethod
    def piece(self, text: str) -> dict[str, Any]:
        """The chunk of a piece of the answer."""

    def last(self, done: AnswerDone) -> list[dict[str, Any]]:
        """The chunks after the last piece; the usage only where it was asked for."""
        chunks = [self._chunk([self._end() | {"finish_reason": done.finish_reason}])]
        if self._include_usage:
            chunks.append(self._chunk([]) | {"usage": usage(done)})
        return chunks

    @abstractmethod
    def _choice(self, text: str) -> dict[str, Any]:
        """The choice of a whole answer, without how it ended."""

    @abstractmethod
    def _end(self) -> dict[str, Any]:
        """The choice of the last chunk, without how it ended."""

    def _chunk(self, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        # Where a usage is to come, every chunk before it says that it is not there yet.
        usage_field = {"usage": None} if self._include_usage else {}
        return self._object(self.chunk_name, choices) | usage_field

    def _object(self, name: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": name,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": fingerprint(self._model),
            "choices": list(choices),
        }


class ChatReply(Reply):
    """An answer of `/v1/chat/completions`."""

    prefix = "chatcmpl"
    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def first(self) -> list[dict[str, Any]]:
        """The role comes before all text."""
        return [self._chunk([self._delta({"role": "assistant", "content": "", "refusal": None})])]

    def piece(self, text: str) -> dict[str, Any]:
        """The chunk of a piece of the answer."""
        return self._chunk([self._delta({"content": text})])

    def _choice(self, text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": 0, "message": message, "logprobs": None}

    def _end(self) -> dict[str, Any]:
        return self._delta({})

    def _delta(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}


class TextReply(Reply):
    """An answer of `/v1/completions`."""

    prefix = "cmpl"
    object_name = "text_completion"
    chunk_name = "text_completion"

    def first(self) -> list[dict[str, Any]]:
        """There is nothing to say before the text."""
        return []

    def piece(self, text: str) -> dict[str, Any]:
        """The chunk of a piece of the answer."""
        return self._chunk([self._choice(text)])

    def _choice(self, text: str) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": None}

    def _end(self) -> dict[str, Any]:
        return self._choice("")


def usage(done: AnswerDone) -> dict[str, Any]:
    """The tokens of an answer; `cached_tokens` were in the session's cache already."""
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": done.prompt_tokens + done.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": done.reused_tokens},
    }


def fingerprint(model: str) -> str:
    """What answers: the same model and version have the same one."""
    return "fp_" + hashlib.sha256(f"{__version__} {model}".encode()).hexdigest()[:10]


def model_object(name: str, created: int) -> dict[str, Any]:
    """A model as `/v1/models` lists it; `created` is when this server began, in Unix seconds."""
    return {"id": name, "object": "model", "created": created, "owned_by": "torbiz-tui"}


def event(value: Mapping[str, Any]) -> bytes:
    """An object as a server-sent event."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "replace")
