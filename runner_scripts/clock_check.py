"""Compares this machine's clock with those of its peers.

Records of the DHT expire by the clock on the wall. hivemind refuses who joins with another time,
only then and without a word to the one whose clock is wrong; and when clocks drift apart later,
records are taken for old ones, and blocks vanish from the swarm.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import re
import statistics
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from log_lines import runner_logger

# hivemind's MAX_DHT_TIME_DISCREPANCY_SECONDS.
ALLOWED_S = 3.0
LOOK_S = 5.0
ASK_AGAIN_S = 60.0
ANSWER_S = 3.0
PEERS_AT_ONCE = 5
# After so long without an answer nothing is known of a peer's clock any more.
KNOWN_FOR_S = 200.0

_REFUSED = re.compile(r"local time must be within .*?\(local: ([\d.]+), peer: ([\d.]+)\)")

logger = runner_logger()


def explain_refusal(text: str) -> str | None:
    """Say in plain words what hivemind says of two clocks; None where it says something else."""
    if (found := _REFUSED.search(text)) is None:
        return None
    ahead = float(found[2]) - float(found[1])
    return f"The clocks of this machine and of a peer differ by {_seconds(ahead)}: {_ONE_IS_WRONG}"


_BY_THE_NETWORK = "set by the network (time synchronisation, NTP)."
_ONE_IS_WRONG = f"one of them is wrong. Let both be {_BY_THE_NETWORK}"


@dataclass(frozen=True)
class Verdict:
    """What comes of the comparison; `mine`: this machine's clock is, or may be, the wrong one."""

    text: str = ""
    mine: bool = False


def judge(ahead: Mapping[str, float]) -> Verdict:
    """Say whose clock is wrong, given by how many seconds each peer's is ahead of ours.

    The majority is right; with one peer alone nobody can tell.
    """
    wrong = {peer: by for peer, by in ahead.items() if abs(by) > ALLOWED_S}
    if not wrong:
        return Verdict()
    middle = statistics.median(wrong.values())
    agreeing = sum(abs(by - middle) <= ALLOWED_S for by in wrong.values())
    right = len(ahead) - len(wrong) + 1  # we agree with ourselves
    if agreeing > right:
        where = "behind" if middle > 0 else "ahead of"
        return Verdict(
            f"The clock of this machine is {_seconds(middle)} {where} those of {agreeing} peers."
            f" Let it be {_BY_THE_NETWORK}",
            mine=True,
        )
    (peer, by) = max(wrong.items(), key=lambda item: abs(item[1]))
    if right == 1:
        return Verdict(
            f"The clocks of this machine and of the peer …{peer[-6:]} differ by {_seconds(by)}:"
            f" {_ONE_IS_WRONG}",
            mine=True,
        )
    where = "ahead of" if by > 0 else "behind"
    return Verdict(
        f"The clock of the peer …{peer[-6:]} is {_seconds(by)} {where} this machine's and others'."
    )


def _seconds(value: float) -> str:
    seconds = abs(value)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


async def ask_clocks(
    _dht: Any, node: Any, *, skip: Collection[str] = (), timeout_s: float = ANSWER_S
) -> dict[str, float]:
    """Return by how many seconds the clocks of some peers are ahead; in the process of the DHT.

    Peers in `skip` are not asked. Half of the time that an answer takes is not counted.
    """
    peers = [peer for peer in node.protocol.routing_table.peer_id_to_uid if str(peer) not in skip]
    peers = peers[:PEERS_AT_ONCE]
    answers = await asyncio.gather(*(_ask_clock(node, peer, timeout_s) for peer in peers))
    return {
        str(peer): ahead for peer, ahead in zip(peers, answers, strict=True) if ahead is not None
    }


async def _ask_clock(node: Any, peer: Any, timeout_s: float) -> float | None:
    messages = importlib.import_module("hivemind.proto.dht_pb2")
    request = messages.PingRequest(peer=node.protocol.node_info)
    asked_at, began = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            answer = await node.protocol.get_stub(peer).rpc_ping(request, timeout=timeout_s)
    except Exception as error:  # whoever does not answer says nothing of the time
        logger.debug("…%s does not tell its time: %r", str(peer)[-6:], error)
        return None
    took = time.monotonic() - began
    # A peer that tells no time has zero there.
    return float(answer.dht_time) - asked_at - took / 2 if answer.dht_time else None


class ClockWatch:
    """Keeps in mind what peers have answered, and logs what comes of it whenever that changes."""

    def __init__(self) -> None:
        self._ahead: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}
        self._told = Verdict()

    @property
    def asked_lately(self) -> frozenset[str]:
        """Peers that need not be asked yet."""
        now = time.monotonic()
        return frozenset(peer for peer, at in self._asked_at.items() if now - at < ASK_AGAIN_S)

    def take(self, answers: Mapping[str, float]) -> None:
        """Take the answers of some peers."""
        now = time.monotonic()
        self._ahead |= answers
        self._asked_at |= dict.fromkeys(answers, now)
        for peer in [one for one, at in self._asked_at.items() if now - at > KNOWN_FOR_S]:
            del self._asked_at[peer], self._ahead[peer]
        verdict = judge(self._ahead)
        if verdict.text and _without_numbers(verdict.text) != _without_numbers(self._told.text):
            logger.warning("%s", verdict.text)
        elif self._told.mine and not verdict.mine and self._ahead:
            logger.info("The clock of this machine agrees with its peers again")
        self._told = verdict


def _without_numbers(text: str) -> str:
    """A clock that drifts on is no news with every second, nor is one more peer that sees it."""
    return re.sub(r"\d+ (?:s|min|h|peers)\b", "", text)


def start_comparing_clocks(server: Any) -> None:
    """Compare in a thread, until the server stops."""
    threading.Thread(
        target=_compare, args=(server.dht, server.stop), name="clocks", daemon=True
    ).start()


def _compare(dht: Any, stop: Any) -> None:
    watch = ClockWatch()
    while not stop.wait(LOOK_S):
        ask = functools.partial(ask_clocks, skip=watch.asked_lately)
        try:
            watch.take(dht.run_coroutine(ask, return_future=True).result(ANSWER_S + 2))
        except Exception as error:  # also a DHT that is busy, or ending
            logger.debug("The clocks of the peers cannot be asked for: %r", error)
