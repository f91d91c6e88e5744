"""The download as a program of its own, which tests start and read."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.hub.conftest import MODEL
from tests.hub.hub_server import HubServer
from tests.runner_scripts.runner_process import SCRIPTS, runner_environment

Event = dict[str, Any]
LIMIT_S = 120.0
FIRST_TWO = ("model.layers.0.", "model.layers.1.")


class Download:
    """A started download of some parameters into a cache."""

    def __init__(
        self,
        python: Path,
        endpoint: str,
        cache: Path,
        *options: str,
        prefixes: tuple[str, ...] = FIRST_TWO,
        token: str = "",
        model: str = MODEL,
    ) -> None:
        home = cache.parent / "hub-home"
        extra = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
        if token:
            extra["HF_TOKEN"] = token
        named = [part for prefix in prefixes for part in ("--prefix", prefix)]
        self.process = subprocess.Popen(
            [
                *(str(python), str(SCRIPTS / "model_download.py"), "--model-name", model),
                *("--cache-dir", str(cache), *named, *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=runner_environment(**extra),
        )
        self.printed = ""

    def finish(self) -> list[Event]:
        """Wait for its end; all that it has said."""
        try:
            said, log = self.process.communicate(timeout=LIMIT_S)
        finally:
            self.process.kill()
        self.printed = said + log
        events = [json.loads(line) for line in said.splitlines()]
        assert events, log
        return events


def download(python: Path, hub: HubServer, cache: Path, *options: str, **more: Any) -> list[Event]:
    """Download to the end; all that was said."""
    return Download(python, hub.url, cache, *options, **more).finish()


def same(file: str | Path, wanted: Path) -> bool:
    """Whether two files hold the same bytes."""
    first, second = (hashlib.sha256(Path(f).read_bytes()).digest() for f in (file, wanted))
    return first == second


def wait_for_bytes(cache: Path, size: int) -> Path:
    """Wait until what has come is on the disk; the file that is not whole yet."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if (found := partials(cache)) and found[0].stat().st_size >= size:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"{size} bytes did not come: {list(cache.rglob('*'))}")


def partials(cache: Path) -> list[Path]:
    """The files of a cache that are not whole yet."""
    return list(cache.rglob("*.incomplete"))
