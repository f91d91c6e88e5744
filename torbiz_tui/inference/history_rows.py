"""Rows of `history.db` made into conversations and turns, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torbiz_tui.inference.conversations import Conversation, Turn
from torbiz_tui.inference.events import GenerateOptions, Hop, Route

TURN_COLUMNS = (
    "id, parent_id, role, content, state, finish_reason, model, prompt_tokens, reused_tokens,"
    " completion_tokens, first_token_s, tokens_per_s, dropped_messages, note, route, created_at"
)
_TURN_FIELDS = TURN_COLUMNS.split(", ")

CONVERSATION_COLUMNS = (
    "id, title, model, swarm, system_prompt, options, created_at, updated_at, deleted_at, local"
)


def turn_of(row: Sequence[Any], siblings: tuple[int, ...] = ()) -> Turn:
    """The turn of a row of TURN_COLUMNS."""
    fields = dict(zip(_TURN_FIELDS, row, strict=True))
    return Turn(**(fields | {"route": route_of(fields["route"]), "siblings": siblings}))


def conversation_of(row: Sequence[Any]) -> Conversation:
    """The conversation of a row of CONVERSATION_COLUMNS, without its turns."""
    return Conversation(
        id=row[0],
        title=row[1],
        model=row[2],
        swarm=row[3],
        system_prompt=row[4],
        options=options_of(row[5]),
        created_at=row[6],
        updated_at=row[7],
        deleted=row[8] is not None,
        local=bool(row[9]),
    )


def storable(text: str) -> str:
    """The text without what UTF-8 cannot hold: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


def options_text(options: GenerateOptions) -> str:
    """The options as the file holds them."""
    return json.dumps(asdict(options))


def options_of(text: str) -> GenerateOptions:
    """The options that were stored; what this version does not know of is left out."""
    known: dict[str, Any] = {
        name: value
        for name, value in json.loads(text).items()
        if name in GenerateOptions.__dataclass_fields__
    }
    if "stop" in known:
        known["stop"] = tuple(known["stop"])
    return GenerateOptions(**known)


def route_text(route: Route | None) -> str:
    """A route as the file holds it."""
    return "" if route is None else json.dumps(asdict(route))


def route_of(text: str) -> Route | None:
    """The route that was stored, None where there was none."""
    if not text:
        return None
    stored: Mapping[str, Any] = json.loads(text)
    return Route(
        num_blocks=stored["num_blocks"],
        hops=tuple(Hop(**hop) for hop in stored["hops"]),
        missing=tuple((first, end) for first, end in stored["missing"]),
        local=stored["local"],
        # Routes of earlier versions have none.
        adapter=stored.get("adapter", ""),
    )


def chosen_path(
    first: int | None, links: Iterable[tuple[int, int | None, int | None]]
) -> tuple[list[int], dict[int | None, list[int]]]:
    """The ids on the chosen way from `first`, and the children of every turn, oldest first.

    `links` are id, parent and chosen child of the turns, in the order of their ids. Where nothing
    is chosen among children, or what is not there, it is the newest.
    """
    chosen: dict[int | None, int | None] = {None: first}
    children: dict[int | None, list[int]] = {}
    for turn_id, parent_id, chosen_id in links:
        chosen[turn_id] = chosen_id
        children.setdefault(parent_id, []).append(turn_id)
    path: list[int] = []
    here: int | None = None
    # Children are newer than their parents, so this ends even in a damaged file.
    while below := [child for child in children.get(here, ()) if here is None or child > here]:
        wanted = chosen.get(here)
        here = wanted if wanted in below else below[-1]
        path.append(here)
    return path, children
