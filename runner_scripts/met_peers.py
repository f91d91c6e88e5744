"""The peers of a swarm that were met, so that they can be asked when they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

MOST = 16
# Who has not been there for a day is asked no more.
FORGOTTEN_AFTER_S = 24 * 3600.0


class MetPeers:
    """Remembers addresses by identity, of so many peers at most: those met last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._met: dict[str, tuple[float, list[str]]] = {}

    def take(self, addresses: Iterable[str]) -> None:
        """Peers that are there now, by their multiaddrs; these take the place of older ones."""
        now = self._clock()
        by_identity: dict[str, list[str]] = {}
        for address in addresses:
            by_identity.setdefault(address.rpartition("/p2p/")[2], []).append(address)
        for identity, found in by_identity.items():
            self._met.pop(identity, None)
            self._met[identity] = now, found
        recent = [(one, met) for one, met in self._met.items() if met[0] > now - FORGOTTEN_AFTER_S]
        self._met = dict(recent[-MOST:])

    def addresses(self) -> list[str]:
        """Where they were, whom one met last first."""
        return [address for _at, found in reversed(self._met.values()) for address in found]
