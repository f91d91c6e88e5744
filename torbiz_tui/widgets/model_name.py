"""A model's name as it is shown."""

from __future__ import annotations

from torbiz_tui.logs.sanitizing import sanitize_line

_SHOWN_CHARS = 60


def short_model(model: str) -> str:
    """A model's name in one safe line; of a folder its last part."""
    line = sanitize_line(model)
    name = line.rstrip("/").rpartition("/")[2] if line.startswith(("/", "~", ".")) else line
    return name if len(name) <= _SHOWN_CHARS else name[: _SHOWN_CHARS - 1] + "…"
