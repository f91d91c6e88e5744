"""What is said about who can dial a server."""

from __future__ import annotations

import pytest

from tests.private_swarms.peers import peer
from torbiz_tui.private_swarms.reaching import Reached, advice

HOME, OUTER, LOOPBACK = peer(1, "192.168.1.5"), peer(1, "198.51.100.4"), peer(1, "127.0.0.1")


@pytest.mark.parametrize(
    ("found", "own", "verdict", "told", "not_told"),
    [
        (Reached(True, {"a": True, "b": None}), (HOME,), "reached", "1 of 1 other peers", "orward"),
        (Reached(True, {"a": True, "b": False}), (HOME,), "reached", "orward TCP port 31337", "None"),
        (Reached(True, {"a": False}), (LOOPBACK, HOME), "not_reached", "router to 192.168.1.5", "?"),
        (Reached(True, {"a": False}), (OUTER,), "not_reached", "Let TCP port 31337", "router"),
        (Reached(True, {"a": None}), (HOME,), "unknown", "when a friend has joined", "orward"),
        (Reached(True, {}), (LOOPBACK,), "unknown", "listens on loopback alone", "orward"),
        (Reached(True, {"a": True}, "A clock is off"), (HOME,), "reached", "A clock is off", "orward"),
        (Reached(False, {}), (HOME,), "silent", "does not answer this machine", "orward"),
    ],
)  # fmt: skip
def test_what_to_do(
    found: Reached, own: tuple[str, ...], verdict: str, told: str, not_told: str
) -> None:
    said = " ".join(advice(found, own))
    assert found.verdict == verdict
    assert told in said
    assert not_told not in said
