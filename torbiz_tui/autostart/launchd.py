"""The agent with which launchd shares from login on."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path

LABEL = "torbiz-tui.share"


def agent_file(home: Path) -> Path:
    """Where launchd looks for the person's agents at login."""
    return home / "Library" / "LaunchAgents" / f"{LABEL}.plist"


def agent_bytes(start: Sequence[str], log: Path) -> bytes:
    """The agent: it runs `start` once at login; what that says goes to `log`.

    The server that it leaves behind lives on in a session of its own.
    """
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(start),
            "RunAtLoad": True,
            "AbandonProcessGroup": True,
            "ProcessType": "Background",
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
    )
