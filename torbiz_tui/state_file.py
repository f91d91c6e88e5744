"""`state.json`, the app's memory: each part of the program reads and changes its own key in it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths, shown, write_json

_MAX_BYTES = 4_000_000
_LOCK_S = 5.0


class StateFile:
    """Reads the file, and changes it by one atomic write under a lock.

    A damaged file is set aside and begun anew, which is told in `warnings`.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.warnings: list[str] = []

    def read(self, key: str) -> Any:
        """What is kept under a key; None for nothing. Raises TorbizError (`state_not_read`)."""
        return self._load().get(key)

    def change(self, key: str, change: Callable[[Any], Any]) -> None:
        """Replace what is kept under a key; other keys are left as they are.

        Raises TorbizError when nothing can be written, and what `change` raises.
        """
        try:
            with self._locked():
                state = self._load()
                write_json(self._paths.state_file, {**state, key: change(state.get(key))})
        except OSError as error:
            raise TorbizError(
                "What is to be remembered cannot be kept.",
                why=f"{self._paths.state_file}: {error.strerror or error}.",
                remedy="Free some disk space or mend the permissions.",
                code="state_not_written",
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self._paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with FileLock(self._paths.run / "state.lock", timeout=_LOCK_S):
                yield
        except Timeout:
            raise TorbizError(
                f"Another torbiz-tui holds {shown(self._paths.state_file)}.",
                remedy="Try again; end that program if it hangs.",
                code="busy",
            ) from None

    def _load(self) -> dict[str, Any]:
        file = self._paths.state_file
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ValueError(f"it has {file.stat().st_size} bytes")
            state = json.loads(file.read_text("utf-8"))
            if not isinstance(state, dict):
                raise ValueError("it holds no object")
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            self._set_aside(file, f"{error}")
            return {}
        except OSError as error:
            raise TorbizError(
                f"{shown(file)} cannot be read.",
                why=f"{error.strerror}.",
                remedy="Mend its permissions.",
                code="state_not_read",
            ) from error
        return state

    def _set_aside(self, file: Path, why: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = file.with_name(f"{file.name}.damaged-{stamp}")
        try:
            file.replace(aside)
        except OSError as error:
            raise TorbizError(
                f"{shown(file)} is damaged, and cannot be set aside.",
                why=f"{why}; {error.strerror}.",
                code="state_damaged",
            ) from error
        text = f"{shown(file)} was damaged ({why}); it is kept as {aside.name}, and begun anew."
        self.warnings.append(text)
        logger("app").warning("%s", text)
