"""The chat runner's messages: what is sent to it, and what its own mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torbiz_tui.download import Download
from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import (
    DOWNLOADING,
    AnswerDone,
    AnswerStarted,
    ChatEvent,
    GenerateOptions,
    Hop,
    Message,
    Recovered,
    Recovering,
    Route,
    RouteChanged,
    StageChanged,
    TokenReceived,
    blocks_text,
)
from torbiz_tui.logs.sanitizing import sanitize_line, sanitize_text
from torbiz_tui.troubleshooting.recognising import with_known
from torbiz_tui.troubleshooting.symptom import Place

Facts = Mapping[str, Any]
Ranges = tuple[tuple[int, int], ...]

_REMEDIES = {
    "connection_failed": "Ask again; if it stays so, see on the Share screen whether it is served.",
    "context_full": "Start a new conversation.",
    "timeout": "Ask again.",
    "busy": "Wait for the running answers, then ask again.",
    "model_not_found": "Check the model's name.",
    "unsupported_model": "Choose a model of a type that Petals serves.",
}


def generate(
    messages: Sequence[Message] | str, options: GenerateOptions, conversation: str = ""
) -> dict[str, Any]:
    """The request for an answer, without its id; a text in place of messages is continued."""
    asked: dict[str, Any] = (
        {"prompt": messages}
        if isinstance(messages, str)
        else {"messages": [{"role": turn.role, "content": turn.content} for turn in messages]}
    )
    if conversation:
        asked["conversation"] = conversation
    return {
        "type": "generate",
        **asked,
        "max_new_tokens": options.max_new_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "stop": list(options.stop),
    }


def read_event(message: Facts) -> ChatEvent | None:
    """What a message of the runner means; None when this version does not know it."""
    match message["type"]:
        case "status":
            stage = str(message.get("stage", ""))
            return StageChanged(stage, _download(message) if stage == DOWNLOADING else None)
        case "route":
            return RouteChanged(read_route(message))
        case "started":
            return AnswerStarted(
                _count(message, "prompt_tokens"),
                _count(message, "reused_tokens"),
                _count(message, "dropped_messages"),
                read_route(message.get("route") or {}),
            )
        case "token":
            return TokenReceived(sanitize_text(str(message.get("text", ""))))
        case "recovering":
            return Recovering(_count(message, "first"), _count(message, "end"))
        case "recovered":
            seconds = float(message.get("seconds") or 0.0)
            return Recovered(seconds, read_route(message.get("route") or {}))
        case "done":
            return _answer_done(message)
    return None


def read_route(facts: Facts) -> Route:
    """A route; the names in it are given by others, and safe to show afterwards."""
    return Route(
        _count(facts, "num_blocks"),
        tuple(
            Hop(
                _count(hop, "first"),
                _count(hop, "end"),
                sanitize_line(str(hop.get("peer", ""))),
                sanitize_line(str(hop.get("name") or "")),
            )
            for hop in facts.get("hops") or ()
        ),
        _ranges(facts.get("missing")),
        bool(facts.get("local")),
        sanitize_line(str(facts.get("adapter") or "")),
        _ranges(facts.get("without_adapter")),
        tuple(sanitize_line(str(name)) for name in facts.get("adapters") or ()),
    )


def _download(message: Facts) -> Download:
    left = message.get("remaining_s")
    return Download(
        _count(message, "done_bytes"),
        _count(message, "total_bytes"),
        _count(message, "bytes_per_s"),
        int(left) if left is not None else None,
        sanitize_line(str(message.get("waiting") or "")),
    )


def _answer_done(message: Facts) -> AnswerDone:
    usage, timing = message.get("usage") or {}, message.get("timing") or {}
    route = message.get("route")
    return AnswerDone(
        finish_reason=message.get("finish_reason", "stop"),
        prompt_tokens=_count(usage, "prompt_tokens"),
        reused_tokens=_count(usage, "reused_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        first_token_s=float(timing.get("first_token_s") or 0.0),
        tokens_per_s=float(timing.get("tokens_per_s") or 0.0),
        route=read_route(route) if route else None,
    )


def _count(facts: Facts, field: str) -> int:
    return int(facts.get(field) or 0)


def _ranges(value: Any) -> Ranges:
    return tuple((int(first), int(end)) for first, end in value or ())


def read_error(message: Facts, model: str, num_blocks: int) -> TorbizError:
    """The error that a message of the runner stands for, asked for a model of so many blocks."""
    code = str(message.get("code", "internal"))
    what = sanitize_line(str(message.get("message") or "The chat runner reported an error."))
    if code in ("missing_blocks", "adapter_missing"):
        route = read_route({"num_blocks": num_blocks} | dict(message))
        if route.without_adapter:
            return adapter_missing(model, route)
        there = _what_is_there(route.missing, num_blocks) or what
        return not_served(model, there, route.missing, num_blocks, route.adapter)
    why, remedy = (sanitize_line(str(message.get(name) or "")) for name in ("why", "remedy"))
    error = TorbizError(
        what, why=why, remedy=remedy or _REMEDIES.get(code, "Ask again."), code=code
    )
    return with_known(error, (what, why), Place.CHAT)


def _what_is_there(missing: Ranges, num_blocks: int) -> str:
    """What is not said by the blocks that are missing; empty where the model is not known."""
    if not missing or not num_blocks:
        return ""
    if missing == ((0, num_blocks),):
        return "None of its blocks is online."
    return f"The others of its {num_blocks} blocks are online."


def not_served(
    model: str, why: str, missing: Ranges = (), num_blocks: int = 0, adapter: str = ""
) -> NotServedError:
    """The error for a model, or the `missing` ones of its blocks, that nobody serves.

    With an `adapter`, others may serve them without it.
    """
    whole = missing in ((), ((0, num_blocks),))
    which = model if whole else f"blocks {blocks_text(missing)} of {model}"
    if adapter:
        which += f" with the adapter {adapter}"
    share = f"torbiz-tui share {model}"
    if not whole and len(missing) == 1:
        share += f" --blocks {missing[0][0]}:{missing[0][1]}"
    return NotServedError(
        f"Nobody serves {which} now.",
        why=why,
        remedy=f"Share it from this machine (F2, or `{share}`), or wait.",
        code="missing_blocks",
        missing=missing,
    )


def adapter_missing(model: str, route: Route) -> NotServedError:
    """The error for blocks that are served, but not with the adapter that is asked for."""
    blocks = f"blocks {blocks_text(route.missing)} of {model}"
    if route.missing == ((0, route.num_blocks),):
        blocks = f"any block of {model}"
    why = "Their servers host no adapter."
    if route.adapters:
        why = f"Their servers host: {', '.join(route.adapters)}."
    if route.without_adapter != route.missing:
        without = blocks_text(route.without_adapter)
        why = f"Only blocks {without} have servers, without it; the others have none."
    given = route.adapter if "/" in route.adapter else f"/FOLDER/{route.adapter}"
    return NotServedError(
        f"No server hosts the adapter {route.adapter} for {blocks}.",
        why=why,
        remedy="Ask without it, wait, or host it from this machine"
        f" (`torbiz-tui share {model} --petals adapters={given}`).",
        code="adapter_missing",
        missing=route.missing,
    )


def runner_ended() -> TorbizError:
    """The error for a question that finds no runner any more."""
    return TorbizError("The runner has ended.", code="runner_died")
