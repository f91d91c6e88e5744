"""Which known addresses are there: found out in a bounded time, whatever the resolver does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.private_swarms.peers import identity
from torbiz_tui.private_swarms.dialling import answering, dial


@contextlib.contextmanager
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}/p2p/{identity(1)}"


def test_a_name_that_is_not_resolved_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, resolved = socket.create_connection, threading.Event()

    def slow(address: tuple[str, int], *more: Any) -> socket.socket:
        if address[0] == "far.example":
            resolved.wait(600)
            raise socket.gaierror("Temporary failure in name resolution")
        return connect(address, *more)

    monkeypatch.setattr(socket, "create_connection", slow)
    far = f"/dns4/far.example/tcp/31337/p2p/{identity(2)}"
    try:
        with listening() as near:
            assert answering([far, near], 1.0) == (near,)
    finally:
        resolved.set()


def test_who_is_gone_is_told_from_who_is_there() -> None:
    with listening() as there:
        assert dial(there) == ""
    assert "refused" in dial(there)
    assert answering([there]) == ()
    assert answering([]) == ()
