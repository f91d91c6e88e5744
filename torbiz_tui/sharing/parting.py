"""What is said of a server that has been stopped."""

from __future__ import annotations

from torbiz_tui.download import rough_duration
from torbiz_tui.sharing.state import SharingState


def parting(last: SharingState) -> str:
    """`Stopped sharing torbiz-demo after 12 min: 49 tokens for 1 request`; `last` is how it was.

    What it does not know of is left out.
    """
    name = f" {last.spec.model}" if last.spec is not None else ""
    after = f" after {rough_duration(int(last.uptime_s))}" if last.uptime_s is not None else ""
    served = last.served.after(last.earlier) if last.served is not None else last.earlier
    if served is None:
        return f"Stopped sharing{name}{after}"
    tokens = "1 token" if served.tokens == 1 else f"{served.tokens:,} tokens"
    requests = "1 request" if served.requests == 1 else f"{served.requests:,} requests"
    return f"Stopped sharing{name}{after}: {tokens} for {requests}"
