"""When a hosted server does not serve by a person's own wish, in words."""

from __future__ import annotations

from torbiz_tui.environments.base import ServerSpec


def pauses_at(spec: ServerSpec) -> str:
    """When the server pauses: `outside of 22:00-07:00, on the battery`; empty for never."""
    parts: list[str] = []
    if spec.hours:
        parts.append(f"outside of {spec.hours}")
    if spec.mains_only:
        parts.append("on the battery")
    if spec.pause_when_busy is not None:
        parts.append(f"while others use over {spec.pause_when_busy}% CPU")
    return ", ".join(parts)


def goes_on(spec: ServerSpec, reason: str) -> str:
    """When a server that pauses for a reason of its supervisor goes on: a sentence."""
    if spec.hours and spec.hours in reason:
        return f"It goes on by itself at {spec.hours.partition('-')[0]}."
    return "It goes on by itself as soon as that is over."


def setting_of(reason: str) -> str:
    """The setting that makes a server pause for a reason of its supervisor."""
    if "battery" in reason:
        return "mains_only"
    return "pause_when_busy" if "other programs" in reason else "hours"
