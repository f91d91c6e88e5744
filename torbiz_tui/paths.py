"""Where things lie: the folders under `TORBIZ_HOME` and the files that ship with the program."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torbiz_tui.errors import TorbizError

_OWNER_ONLY = 0o700


@dataclass(frozen=True)
class Paths:
    """The files of one home folder (`$TORBIZ_HOME`, by default `~/.torbiz`)."""

    home: Path

    @property
    def config_file(self) -> Path:
        """The person's configuration; the app never writes it."""
        return self.home / "config.yaml"

    @property
    def state_file(self) -> Path:
        """What the app remembers between runs."""
        return self.home / "state.json"

    @property
    def history_file(self) -> Path:
        """The conversations, an SQLite database."""
        return self.home / "history.db"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Who is running: records, identities, locks."""
        return self.home / "run"

    @property
    def models(self) -> Path:
        """Local models."""
        return self.home / "models"

    @property
    def cache(self) -> Path:
        """Blocks that Petals has downloaded (its `PETALS_CACHE`)."""
        return self.home / "cache"

    @property
    def env(self) -> Path:
        """The managed venv in which Petals is installed."""
        return self.home / "env"

    @property
    def env_python(self) -> Path:
        """The interpreter of the managed venv."""
        return self.env / "bin" / "python"

    def ensure(self) -> None:
        """Create the folders that everything else expects.

        Raises TorbizError when the home folder cannot be created or written.
        """
        try:
            for folder in (self.home, self.logs, self.run, self.models):
                folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
            probe = self.run / f".write-test-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise TorbizError(
                f"The folder {self.home} cannot be written.",
                why=f"{error.strerror or error} ({error.filename or self.home}).",
                remedy="Make it writable, or choose another one with --home or TORBIZ_HOME.",
                code="home_not_writable",
            ) from error


def default_home() -> Path:
    """`$TORBIZ_HOME`, or `~/.torbiz`."""
    given = os.environ.get("TORBIZ_HOME", "")
    return Path(given).expanduser().absolute() if given else Path.home() / ".torbiz"


@cache
def bundled() -> Path:
    """The folder that holds `runner_scripts`, `images` and `config.example.yaml`.

    In an installed wheel that is `torbiz_tui/_bundled`, in a checkout the repository's root.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_bundled"
    return inside if inside.is_dir() else package.parent


def runner_scripts() -> Path:
    """The folder of the scripts that run where Petals is installed."""
    return bundled() / "runner_scripts"


def requirements_file() -> Path:
    """The pins of the Petals stack."""
    return bundled() / "images" / "petals" / "requirements.txt"


def demo_model() -> Path:
    """The small model that ships with the program."""
    return runner_scripts() / "demo_model"


def write_json(file: Path, data: Mapping[str, Any]) -> None:
    """Write a small file that is never seen half written, readable by its owner alone.

    Raises OSError, and leaves the file as it was.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        temporary.chmod(0o600)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def shown(path: Path | str) -> str:
    """A path for people: the home folder of the person as `~`."""
    text = str(path)
    home = str(Path.home())
    inside = text == home or text.startswith(home + os.sep)
    return "~" + text[len(home) :] if inside and home != os.sep else text
