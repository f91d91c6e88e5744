"""What a restart with other settings would change, in words."""

from __future__ import annotations

from torbiz_tui.sharing.request import ShareRequest

_SETTINGS = {
    "model": "model",
    "device": "device",
    "torch_dtype": "number format",
    "quantization": "quantization",
    "port": "port",
    "throughput": "throughput",
    "public_name": "public name",
    "attn_cache_tokens": "attention cache",
    "announce_maddrs": "announced addresses",
    "swarm_name": "name of the swarm",
    "reserve_percent": "percent of memory kept back",
    "hours": "hours",
    "mains_only": "on the battery it",
    "pause_when_busy": "pause at percent used by others",
    "restart_on_crash": "after a crash it",
    "petals_options": "Petals' options",
}
_UNSET = {
    "attn_cache_tokens": "left to Petals",
    "announce_maddrs": "those found",
    "hours": "always",
    "pause_when_busy": "never",
}
# How the form says the two values of a switch.
SWITCHES = {
    "mains_only": {False: "goes on", True: "pauses"},
    "restart_on_crash": {True: "starts again", False: "stays ended"},
}


def changes(
    before: ShareRequest, after: ShareRequest, served: tuple[int, int] | None = None
) -> list[str]:
    """The settings that differ, such as `port 31337 → 31338`; `served` are the blocks of now."""
    found: list[str] = []
    if before.model != after.model:
        found.append(f"model {before.model} → {after.model}")
    now = f"{served[0]}:{served[1]}" if served is not None else before.blocks
    if before.blocks != after.blocks and after.blocks != now:
        found.append(f"blocks {now} → {after.blocks}")
    swarms = _swarm(before), _swarm(after)
    if swarms[0] != swarms[1] and not _same_swarm(before, after):
        found.append(f"{swarms[0]} → {swarms[1]}")
    for name, title in _SETTINGS.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new and name != "model":
            found.append(f"{title} {_text(name, old)} → {_text(name, new)}")
    return found


def beside_own(wanted: str, own: tuple[int, int]) -> tuple[str, str]:
    """The blocks that fill a gap `A:B` and keep what this machine serves, and what to say of those.

    One server has one range: where others' blocks lie between, its own are given up.
    """
    first, colon, end = wanted.partition(":")
    if not colon:
        return wanted, ""
    gap, own_text = (int(first), int(end)), f"{own[0]}:{own[1]}"
    if gap[0] <= own[0] and own[1] <= gap[1]:
        # Nobody serves its own either, as while it is frozen.
        return wanted, ""
    if gap[0] > own[1] or gap[1] < own[0]:
        return wanted, f" This machine would no longer serve {own_text}, which lies apart."
    both = f"{min(gap[0], own[0])}:{max(gap[1], own[1])}"
    return both, f" {own_text}, which this machine serves already, is kept."


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return SWITCHES[name][value]
    if value in (None, "", ()):
        return _UNSET.get(name, "none")
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _same_swarm(before: ShareRequest, after: ShareRequest) -> bool:
    """A swarm that is known by one name is the same, whoever of it is there now."""
    private = all(one.new_swarm or one.initial_peers for one in (before, after))
    return private and bool(before.swarm_name) and before.swarm_name == after.swarm_name


def _swarm(request: ShareRequest) -> str:
    if request.new_swarm:
        return "a private swarm of its own"
    if request.initial_peers:
        return f"the swarm of {', '.join(request.initial_peers)}"
    return "the public swarm"
