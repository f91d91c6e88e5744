"""The options of `autostart`."""

from __future__ import annotations

from typing import Any

from torbiz_tui.commands.options import add_json


def add_autostart(command: Any) -> None:
    """Add the command to the grammar."""
    autostart = command(
        "autostart",
        "share from the machine's login on, or stop doing so",
        "  on      share the configured model at every login from the next one on\n"
        "  off     undo that; a server that runs goes on\n"
        "  status  say whether it is on, and the command\n"
        "It is off until you switch it on: a user unit of systemd, or an agent of launchd.",
        "autostart on",
        "autostart status",
        "autostart off",
    )
    autostart.add_argument("action", choices=("on", "off", "status"), metavar="ACTION")
    add_json(autostart)
