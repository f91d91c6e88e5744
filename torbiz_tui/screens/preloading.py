"""The code of the screens that are not shown yet, loaded while nobody waits for it."""

from __future__ import annotations

from importlib import import_module

# With all that a screen loads when it is opened or first used.
_MODULES = (
    "screens.ask",
    "screens.ask_entries",
    "screens.ask_talk",
    "inference.chat",
    "inference.history",
    "inference.keeping",
    "screens.share",
    "sharing.outlook",
    "screens.logs",
    "screens.setup",
    "storage",
    "screens.swarm",
)


def load_screens() -> None:
    """Import what the screens need. For a thread of its own: it takes a second of a slow machine."""
    for name in _MODULES:
        import_module(f"torbiz_tui.{name}")
