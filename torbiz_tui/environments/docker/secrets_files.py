"""Tokens for the container: files of their own, mounted read-only, gone when it is gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths

NODE_TOKEN = "node_token"  # noqa: S105 (the names of files)
HUB_TOKEN = "hf_token"  # noqa: S105
_FILES = {
    "TORBIZ_NODE_TOKEN": NODE_TOKEN,
    "HUGGING_FACE_HUB_TOKEN": HUB_TOKEN,
    # Later ones win, as they do for the hub's own library.
    "HF_TOKEN": HUB_TOKEN,
}


def token_files(paths: Paths, container: str, secrets: Mapping[str, str]) -> dict[str, Path]:
    """The files that these secrets (by the names of their variables) belong into, by file name."""
    folder = _folder(paths, container)
    return {name: folder / name for variable, name in _FILES.items() if secrets.get(variable)}


def write_tokens(paths: Paths, container: str, secrets: Mapping[str, str]) -> None:
    """Write the files, readable by their owner alone; others of an earlier start go.

    Raises TorbizError when they cannot be written.
    """
    remove_tokens(paths, container)
    folder = _folder(paths, container)
    try:
        for variable, name in _FILES.items():
            if not secrets.get(variable):
                continue
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / name).unlink(missing_ok=True)
            opened = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="utf-8") as file:
                file.write(secrets[variable])
    except OSError as error:
        remove_tokens(paths, container)
        raise TorbizError(
            f"The token cannot be written below {folder}, so nothing was started.",
            why=f"{error.strerror}.",
            remedy="Free some disk space or mend the permissions, then try again.",
            code="run_not_writable",
        ) from error


def has_tokens(paths: Paths, container: str) -> bool:
    """Whether files of an earlier start are there."""
    return _folder(paths, container).exists()


def remove_tokens(paths: Paths, container: str) -> None:
    """Remove the files of a container that is gone."""
    shutil.rmtree(_folder(paths, container), ignore_errors=True)


def _folder(paths: Paths, container: str) -> Path:
    return paths.run / "secrets" / container
