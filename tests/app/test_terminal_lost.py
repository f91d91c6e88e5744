"""The app leaves when its terminal is gone, whoever has started it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.terminal import Terminal


def test_a_hang_up_that_only_its_starter_is_told_of(tmp_path: Path) -> None:
    """As under `make run`: the shell of the terminal gets the signal, ignores it and waits."""
    app = shlex.join([sys.executable, "-m", "torbiz_tui.cli", "--demo", "--home", str(tmp_path)])
    terminal = Terminal(["sh", "-c", f"trap '' HUP; {app}; true"], columns=80, rows=24)
    try:
        terminal.wait_for("Set up this machine")
        terminal.hang_up()
    finally:
        terminal.close()
