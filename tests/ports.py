"""TCP ports for what tests start."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

# Below those that the system gives to connections, of which one could get it before a server does.
_PORTS = range(20_000, 31_000)
_PORTS_OF_EACH = 1_000
_handed_out = itertools.count(os.getpid())


def free_port() -> int:
    """A TCP port that nobody listens on now, and that no other process of a run is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    begin = worker * _PORTS_OF_EACH % len(_PORTS)
    for number in itertools.islice(_handed_out, _PORTS_OF_EACH):
        port = _PORTS[begin + number % _PORTS_OF_EACH]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise AssertionError("no port is free")
