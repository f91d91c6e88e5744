"""Where the hub's token comes from: what was typed, the environment, or the hub's own file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_SECRETS = ("TORBIZ_NODE_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_IN_ENVIRONMENT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_MAX_BYTES = 10_000


def token_origin(environ: Mapping[str, str] = os.environ) -> str:
    """Where a token is that nobody has to type, for a field: empty when there is none."""
    if any(environ.get(name) for name in _IN_ENVIRONMENT):
        return "taken from the environment"
    return "from the hub's token file" if _from_file(environ) else ""


def secrets_for_server(
    environ: Mapping[str, str], typed: str = "", *, in_container: bool = False
) -> dict[str, str]:
    """The secrets that a server gets in its environment, by variable.

    A token that was typed goes before those that are there. A container does not see the hub's own
    file, so what is in it goes along.
    """
    secrets = {name: environ[name] for name in _SECRETS if name in environ}
    if typed:
        secrets["HF_TOKEN"] = typed
    given = any(secrets.get(name) for name in _IN_ENVIRONMENT)
    if in_container and not given and (token := _from_file(environ)):
        secrets["HF_TOKEN"] = token
    return secrets


def _from_file(environ: Mapping[str, str]) -> str:
    """The token in the file that the hub's library keeps it in; empty where there is none."""
    if named := environ.get("HF_TOKEN_PATH"):
        file = Path(named)
    else:
        cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
        file = Path(environ.get("HF_HOME") or f"{cache}/huggingface") / "token"
    try:
        with file.expanduser().open(encoding="utf-8") as opened:
            return opened.read(_MAX_BYTES).strip()
    except (OSError, UnicodeDecodeError, RuntimeError):
        return ""
