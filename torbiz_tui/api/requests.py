"""What other programs ask: OpenAI's request bodies, checked, as our messages and options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from torbiz_tui.api.refusals import RefusedError
from torbiz_tui.config import SETTINGS, AskConfig
from torbiz_tui.config_errors import shown
from torbiz_tui.config_values import RejectedError
from torbiz_tui.inference.events import GenerateOptions, Message, Role

# The chat runner accepts so many stop texts, each of at most so many characters.
_STOP_TEXTS = 16
_STOP_CHARACTERS = 200
# A line to the chat runner may have 8 MiB, and escapes make text longer than it came.
_MOST_BYTES = 8_000_000
_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}

# What would change the answer, and what of it means "do nothing".
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "echo": (False,),
    "suffix": ("",),
}
# What says something about the request, or asks for speed, and changes no answer.
_HARMLESS = (
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)


@dataclass(frozen=True)
class Asked:
    """A request that can be answered: a chat's messages, or with none of them a prompt."""

    options: GenerateOptions
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    conversation: str = ""
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True)
class ServedModel:
    """The one model of a server; `name` is what programs see, `asked_for` as it is configured."""

    name: str
    asked_for: str

    def require(self, given: object) -> None:
        """Raises RefusedError (404) for any other model than this one."""
        if given not in (self.name, self.asked_for, "default"):
            name = shown(given) if isinstance(given, str) else shown(json.dumps(given))
            raise RefusedError(
                HTTPStatus.NOT_FOUND,
                f"The model {name} is not served here.",
                remedy=f"This server has {self.name!r}, also by the name 'default'.",
                code="model_not_found",
                param="model",
            )


def parse_body(data: bytes) -> dict[str, Any]:
    """The object in a request's body. Raises RefusedError when it holds none."""
    try:
        values = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "The body is not JSON.", why=f"{error}.", code="bad_json"
        ) from None
    if not isinstance(values, dict):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "The body is JSON, but not an object.", code="bad_json"
        )
    return values


def chat_request(values: Mapping[str, Any], model: ServedModel, defaults: AskConfig) -> Asked:
    """What `/v1/chat/completions` is asked. Raises RefusedError naming the first wrong field."""
    body = _Body(values)
    model.require(body.take("model"))
    messages = _messages(body.take("messages"))
    _require_room("messages", [message.content for message in messages])
    return Asked(
        options=_options(body, defaults),
        messages=messages,
        conversation=_conversation(messages, values.get("user")),
        **_finish(body),
    )


def text_request(values: Mapping[str, Any], model: ServedModel, defaults: AskConfig) -> Asked:
    """What `/v1/completions` is asked. Raises RefusedError naming the first wrong field."""
    body = _Body(values)
    model.require(body.take("model"))
    prompt = body.take("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        _refuse("prompt", prompt, "a text, or a list of one text")
    _require_room("prompt", [prompt])
    return Asked(options=_options(body, defaults), prompt=_text("prompt", prompt), **_finish(body))


class _Body:
    """The fields of a request that were not looked at yet; null counts as not given."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in values.items() if value is not None}

    def take(self, name: str) -> Any:
        """The value of a field; None when it is not given."""
        return self._left.pop(name, None)

    def require_empty(self) -> None:
        """Raises RefusedError for a field that would change the answer, or that nobody knows."""
        for name, value in self._left.items():
            if name in _HARMLESS:
                continue
            neutral = _NEUTRAL.get(name)
            if neutral is None:
                raise RefusedError(
                    HTTPStatus.BAD_REQUEST,
                    f"The field {shown(name)} is not supported.",
                    remedy="Leave it out.",
                    code="unsupported_parameter",
                    param=name[:100],
                )
            if not any(_same(value, nothing) for nothing in neutral):
                accepted = " or ".join(json.dumps(nothing) for nothing in neutral)
                _refuse(name, value, f"only {accepted}", code="unsupported_value")


def _finish(body: _Body) -> dict[str, Any]:
    """The fields about streaming, and no others left."""
    stream = _flag(body, "stream")
    options = body.take("stream_options")
    include_usage = False
    if options is not None:
        if not isinstance(options, dict):
            _refuse("stream_options", options, "an object")
        if not stream:
            _refuse("stream_options", options, "only null without stream")
        inner = _Body(options)
        include_usage = _flag(inner, "include_usage", "stream_options.include_usage")
        # It pads chunks to hide their lengths, which no answer depends on.
        inner.take("include_obfuscation")
        inner.require_empty()
    body.require_empty()
    return {"stream": stream, "include_usage": include_usage}


def _options(body: _Body, defaults: AskConfig) -> GenerateOptions:
    most = _setting(body, "max_tokens", "ask.max_new_tokens", None)
    newer = _setting(body, "max_completion_tokens", "ask.max_new_tokens", None)
    if most is not None and newer is not None and most != newer:
        _refuse("max_tokens", most, "only one of max_tokens and max_completion_tokens")
    limit = newer if newer is not None else most
    return GenerateOptions(
        max_new_tokens=defaults.max_new_tokens if limit is None else limit,
        temperature=_setting(body, "temperature", "ask.temperature", defaults.temperature),
        top_p=_setting(body, "top_p", "ask.top_p", defaults.top_p),
        seed=_setting(body, "seed", "ask.seed", defaults.seed),
        stop=_stop(body.take("stop"), defaults.stop),
    )


def _setting(body: _Body, name: str, key: str, default: Any) -> Any:
    """A field that accepts what a key of the configuration accepts."""
    value = body.take(name)
    if value is None:
        return default
    kind = SETTINGS[key].kind
    try:
        if isinstance(value, str):
            raise RejectedError
        return kind.check(value)
    except RejectedError:
        _refuse(name, value, kind.accepted)


def _flag(body: _Body, name: str, shown_name: str = "") -> bool:
    value = body.take(name)
    if value is not None and not isinstance(value, bool):
        _refuse(shown_name or name, value, "true or false")
    return bool(value)


def _stop(value: object, default: tuple[str, ...]) -> tuple[str, ...]:
    if value is None:
        return default
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > _STOP_TEXTS:
        _refuse("stop", value, f"a text, or a list of at most {_STOP_TEXTS} texts")
    for index, text in enumerate(texts):
        name = "stop" if isinstance(value, str) else f"stop[{index}]"
        if not isinstance(text, str) or not 0 < len(text) <= _STOP_CHARACTERS:
            _refuse(name, text, f"a text of 1 to {_STOP_CHARACTERS} characters")
        _text(name, text)
    return tuple(texts)


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        _refuse("messages", value, "a list of at least one message")
    messages = tuple(_message(f"messages[{index}]", item) for index, item in enumerate(value))
    if messages[-1].role != "user":
        _refuse(f"messages[{len(value) - 1}].role", value[-1]["role"], "user in the last message")
    return messages


def _message(name: str, value: object) -> Message:
    if not isinstance(value, dict):
        _refuse(name, value, "an object with role and content")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        _refuse(f"{name}.role", role, ", ".join(_ROLES))
    for field in ("tool_calls", "function_call", "audio"):
        if value.get(field):
            _refuse(f"{name}.{field}", value[field], "only null")
    return Message(_ROLES[role], _content(f"{name}.content", value.get("content")))


def _content(name: str, value: object) -> str:
    if isinstance(value, str):
        return _text(name, value)
    if not isinstance(value, list) or not value:
        _refuse(name, value, "a text, or a list of parts of type text")
    texts = []
    for index, part in enumerate(value):
        if not isinstance(part, dict):
            _refuse(f"{name}[{index}]", part, "an object with type and text")
        if part.get("type") != "text":
            _refuse(f"{name}[{index}].type", part.get("type"), "text")
        if not isinstance(part.get("text"), str):
            _refuse(f"{name}[{index}].text", part.get("text"), "a text")
        texts.append(_text(f"{name}[{index}].text", part["text"]))
    return "\n".join(texts)


def _text(name: str, value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(name, value, "valid Unicode")
    return value


def _require_room(name: str, texts: list[str]) -> None:
    if len(json.dumps(texts)) > _MOST_BYTES:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            f"{name} holds more text than a session of any model.",
            code="context_length_exceeded",
            param=name,
        )


def _conversation(messages: tuple[Message, ...], user: object) -> str:
    """A name that a conversation keeps from turn to turn: of its beginning, and of who asks.

    What was computed for the earlier turns is then used again. The runner compares the tokens, so
    that a mistaken name costs time only.
    """
    first = next(index for index, message in enumerate(messages) if message.role == "user")
    beginning = [str(user or ""), *(message.content for message in messages[: first + 1])]
    digest = hashlib.sha256(json.dumps(beginning).encode()).hexdigest()
    return f"api-{digest[:32]}"


def _same(value: object, other: object) -> bool:
    """Whether two values are equal as JSON, where true is not 1."""
    return value == other and isinstance(value, bool) is isinstance(other, bool)


def _refuse(name: str, value: object, accepted: str, *, code: str = "invalid_value") -> NoReturn:
    given = shown(value) if isinstance(value, str) else shown(json.dumps(value))[1:-1]
    raise RefusedError(
        HTTPStatus.BAD_REQUEST,
        f"{name} is {given}, which is not accepted; accepted is {accepted}.",
        code=code,
        param=name,
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
