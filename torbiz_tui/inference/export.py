"""A conversation written to a file: Markdown for people, JSON for programs (`docs/export.md`)."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.conversations import Conversation, Turn
from torbiz_tui.inference.events import GenerateOptions

FORMAT = "torbiz-conversation"
VERSION = 1

# What can swallow the rest of a Markdown file when it is not closed: fences and HTML blocks.
_OPENERS = re.compile(r"`{3,}|~{3,}|<(?=[!?/a-zA-Z])")
_FENCES = re.compile(r"`{3,}|~{3,}")
_HTML_CLOSERS = ("-->", "</pre>", "</script>", "</style>", "</textarea>", "?>", "]]>", ">")


def to_markdown(conversation: Conversation) -> str:
    """The chosen path as Markdown: every turn under a heading, its text as it was said."""
    parts = [f"# {_escaped(conversation.title or 'Conversation')}", _facts(conversation)]
    if conversation.system_prompt.strip():
        parts += ["## System prompt", _contained(conversation.system_prompt)]
    for turn in conversation.turns:
        parts.append(_heading(turn))
        if turn.content:
            parts.append(_contained(turn.content))
        if note := _note(turn):
            parts.append(f"*{_escaped(note)}*")
    return "\n\n".join(parts) + "\n"


def to_json(conversation: Conversation) -> str:
    """The conversation as a JSON object: all its turns where they were loaded, else the path."""
    written = {
        "format": FORMAT,
        "version": VERSION,
        "id": conversation.id,
        "title": conversation.title,
        "model": conversation.model,
        "swarm": conversation.swarm,
        "local": conversation.local,
        "system_prompt": conversation.system_prompt,
        "options": asdict(conversation.options),
        "created_at": _iso(conversation.created_at),
        "updated_at": _iso(conversation.updated_at),
        "active_path": [turn.id for turn in conversation.turns],
        "turns": [_turn_json(turn) for turn in conversation.tree or conversation.turns],
    }
    return json.dumps(written, ensure_ascii=False, indent=2) + "\n"


def write_export(conversation: Conversation, path: Path, *, overwrite: bool = False) -> None:
    """Write the conversation to a file of its owner alone: JSON for `.json`, else Markdown.

    It blocks: call it in a thread. Raises TorbizError when the file is there (`export_exists`),
    unless it may be overwritten, or cannot be written; a file that was there is whole then.
    """
    path = path.expanduser()
    text = to_json(conversation) if path.suffix.lower() == ".json" else to_markdown(conversation)
    try:
        _write(path, text.encode("utf-8", "replace"), overwrite=overwrite)
    except FileExistsError:
        raise TorbizError(
            f"{path} is there already.",
            remedy="Choose another name, or say that it may be overwritten.",
            code="export_exists",
        ) from None
    except OSError as error:
        raise TorbizError(
            f"The conversation was not written to {path}.",
            why=f"{error.strerror or error}.",
            remedy="Choose another folder, or mend what is wrong with this one.",
            code="export_failed",
        ) from error


def _write(path: Path, data: bytes, *, overwrite: bool) -> None:
    if path.is_dir():
        raise IsADirectoryError(0, "It is a folder")
    if not overwrite:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        written = path
    else:
        # Made with mode 0600; it takes the other file's place when it is whole.
        handle, name = tempfile.mkstemp(prefix=".torbiz-export-", dir=path.parent)
        written = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        if overwrite:
            written.replace(path)
    except OSError:
        written.unlink(missing_ok=True)
        raise


def _facts(conversation: Conversation) -> str:
    facts = {
        "Model": conversation.model,
        "Swarm": conversation.swarm,
        "Begun": _minutes(conversation.created_at),
        "Last changed": _minutes(conversation.updated_at),
        "Parameters": _parameters(conversation.options),
    }
    return "\n".join(f"- {name}: {_escaped(value)}" for name, value in facts.items() if value)


def _parameters(options: GenerateOptions) -> str:
    parts = [
        f"temperature {options.temperature:g}",
        f"top-p {options.top_p:g}",
        f"at most {options.max_new_tokens} tokens",
    ]
    if options.seed is not None:
        parts.append(f"seed {options.seed}")
    if options.adapter:
        parts.append(f"with the adapter {options.adapter}")
    if options.stop:
        parts.append(f"stops before {', '.join(map(json.dumps, options.stop))}")
    return ", ".join(parts)


def _heading(turn: Turn) -> str:
    if turn.role == "user":
        return "## Question"
    return f"## Answer of {_escaped(turn.model)}" if turn.model else "## Answer"


def _note(turn: Turn) -> str:
    if turn.finish_reason == "cancelled":
        return "Stopped before its end."
    if turn.finish_reason == "length":
        return "Cut at the limit of tokens."
    titles = {"failed": "Failed", "interrupted": "Interrupted", "streaming": "Not finished"}
    title = titles.get(turn.state, "")
    return f"{title}: {turn.note}" if title and turn.note else title and f"{title}."


def _contained(text: str) -> str:
    """The text as it is; what it leaves open is closed, so that the next heading is one."""
    text = text.strip("\n")
    if not _OPENERS.search(text):
        return text
    # The last fence is the likeliest to be open.
    fences = dict.fromkeys(reversed(_FENCES.findall(text)))
    for closer in ("", *(f"\n{fence}" for fence in fences), *(f"\n{end}" for end in _HTML_CLOSERS)):
        if _ends(text + closer):
            return text + closer
    fence = "`" * (max((len(mark) for mark in _FENCES.findall(text)), default=2) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _ends(text: str) -> bool:
    """Whether a heading after the text is seen as one."""
    from markdown_it import MarkdownIt

    last = MarkdownIt("commonmark").parse(f"{text}\n\n## end\n")[-3:]
    return [token.type for token in last] == ["heading_open", "inline", "heading_close"] and (
        last[0].level == 0
    )


def _escaped(text: str) -> str:
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>#&~])", r"\\\1", line)


def _minutes(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC" if seconds else ""


def _iso(seconds: float) -> str | None:
    """A time as ISO 8601 in UTC, None where it is not known."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def _turn_json(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent_id": turn.parent_id,
        "role": turn.role,
        "content": turn.content,
        "state": turn.state,
        "finish_reason": turn.finish_reason,
        "model": turn.model,
        "usage": {
            "prompt_tokens": turn.prompt_tokens,
            "reused_tokens": turn.reused_tokens,
            "completion_tokens": turn.completion_tokens,
        },
        "timing": {"first_token_s": turn.first_token_s, "tokens_per_s": turn.tokens_per_s},
        "dropped_messages": turn.dropped_messages,
        "note": turn.note,
        "route": None if turn.route is None else asdict(turn.route),
        "created_at": _iso(turn.created_at),
    }
