"""Sharing that begins with the machine's login: a user unit of systemd, or an agent of launchd."""

from torbiz_tui.autostart.entry import Autostart, AutostartState, share_command

__all__ = ["Autostart", "AutostartState", "share_command"]
