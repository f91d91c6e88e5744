"""What is said of a server that has been stopped."""

from __future__ import annotations

import time

from torbiz_tui.sharing.parting import parting
from torbiz_tui.sharing.served import Served
from torbiz_tui.sharing.state import Phase, SharingState


def test_it_tells_how_long_and_what_was_served() -> None:
    served = Served(prompt_tokens=12, generated_tokens=37, requests=1)
    earlier = Served(prompt_tokens=1, generated_tokens=2_000, requests=3)
    last = SharingState(phase=Phase.STOPPING, serving_since=time.time() - 754, served=served)
    assert parting(last) == "Stopped sharing after 12 min: 49 tokens for 1 request"
    restarted = SharingState(serving_since=time.time() - 5, served=served, earlier=earlier)
    assert parting(restarted) == "Stopped sharing after 5 s: 2,050 tokens for 4 requests"


def test_it_leaves_out_what_it_does_not_know() -> None:
    assert parting(SharingState(phase=Phase.STARTING)) == "Stopped sharing"
