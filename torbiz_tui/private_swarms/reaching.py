"""Whether other peers of a private swarm can dial this machine's server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torbiz_tui.environments.base import EnvironmentDriver, RunnerCommand
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.private_swarms.peer_address import PeerAddress, Reach, read_peer, widest_reach

LOG = "reach.log"
# The runner bounds itself: joining 30 s, asking 30 s.
_LIMIT_S = 75.0
_STOP_GRACE_S = 4.0


@dataclass(frozen=True)
class Reached:
    """What came out: whether the server answers this machine, and which others can dial it.

    `others` maps identities to True, False, or None for a peer that did not tell. `clock` says what
    is wrong with the clock of this machine or of a peer, if anything.
    """

    listens: bool
    others: Mapping[str, bool | None]
    clock: str = ""

    @property
    def verdict(self) -> str:
        """`reached`, `not_reached`, `unknown` (nobody could tell), or `silent` (no answer here)."""
        told = [answer for answer in self.others.values() if answer is not None]
        if any(told):
            return "reached"
        if not self.listens:
            return "silent"
        return "not_reached" if told else "unknown"


async def ask_reach(
    driver: EnvironmentDriver, own: tuple[str, ...], peers: tuple[str, ...]
) -> Reached:
    """Ask the peers of the swarm of a server at the addresses `own`.

    Raises TorbizError when nobody can be asked.
    """
    loopback_first = sorted(own, key=lambda text: read_peer(text).reach is not Reach.LOOPBACK)
    arguments = ["--peer", loopback_first[0]]
    for peer in (*loopback_first[1:], *peers):
        arguments += ["--initial-peer", peer]
    process = await driver.spawn(
        RunnerCommand("run_reach.py", tuple(arguments), title="The reach test", log_name=LOG)
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for message in process.messages():
                if (found := _read(message)) is not None:
                    return found
    except TimeoutError:
        pass
    finally:
        await process.stop(_STOP_GRACE_S)
    raise TorbizError(
        "The test of who reaches this machine has not come to an end.",
        remedy=f"Try again; its log ({LOG}) has the details.",
        code="reach_failed",
    )


def _read(message: Mapping[str, Any]) -> Reached | None:
    match message:
        case {"type": "reach", "listens": bool(listens), "others": [*others]}:
            answers: dict[str, bool | None] = {}
            for other in others:
                match other:
                    case {"peer": str(peer), "reached": (True | False | None) as reached}:
                        answers[sanitize_line(peer)[:64]] = reached
            return Reached(listens, answers, sanitize_line(str(message.get("clock") or ""))[:300])
        case {"type": "error"}:
            what = sanitize_line(str(message.get("message")))[:500]
            raise TorbizError(what, code=sanitize_line(str(message.get("code")))[:40])
    return None


def advice(found: Reached, own: tuple[str, ...]) -> list[str]:
    """What it means, and what to do, in sentences."""
    if not own:
        return []
    return [*_reaching(found, own), *([found.clock] if found.clock else [])]


def _reaching(found: Reached, own: tuple[str, ...]) -> list[str]:
    best = min(map(read_peer, own), key=_order)
    told = [answer for answer in found.others.values() if answer is not None]
    match found.verdict:
        case "reached":
            text = f"{sum(map(bool, told))} of {len(told)} other peers can dial this server."
            return [text] if all(told) else [text, *_forward(best)]
        case "not_reached":
            return [f"None of {len(told)} other peers can dial this server.", *_forward(best)]
        case "silent":
            return [
                "The server does not answer this machine either: it is starting, ending, or hangs.",
                "Look at `torbiz-tui status` and the logs.",
            ]
    text = "No other peer of the swarm is there to try it from."
    if widest_reach(own) is Reach.LOOPBACK:
        return [text, "It listens on loopback alone: nobody else can reach it (--demo does that)."]
    return [text, "Ask again when a friend has joined, or run `torbiz-tui bootstrap` elsewhere."]


def _forward(best: PeerAddress) -> list[str]:
    lines = [
        f"Let TCP port {best.port} through this machine's firewall (to {best.host}).",
    ]
    if best.reach is not Reach.PUBLIC:
        lines.append(
            f"For peers outside your network, forward TCP port {best.port} of your router to"
            f" {best.host}, and announce the outer address:"
            f" share.announce_maddrs: [/ip4/YOUR_IP/tcp/{best.port}]."
        )
    return lines


def _order(address: PeerAddress) -> int:
    return [Reach.PUBLIC, Reach.LOCAL_NETWORK, Reach.LOOPBACK].index(address.reach)
