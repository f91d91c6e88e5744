"""Whether dialling a peer is worth it, where its address is a name."""

from __future__ import annotations

import asyncio
import importlib
import socket
from types import ModuleType
from typing import Any

import pytest

from tests.ports import free_port

from .runner_process import SCRIPTS

SWALLOWS = ("2001:db8::1", "192.0.2.1")


@pytest.fixture
def knocking(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("knocking")


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name stand for these, of which those that swallow packets are never reached."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def resolve(_name: str, port: int, *, family: int = 0, **_: Any) -> list[Any]:
        kinds = {one: socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses}
        return [
            (kind, socket.SOCK_STREAM, 6, "", (one, port))
            for one, kind in kinds.items()
            if family in (0, kind)
        ]

    async def reach(sock: socket.socket, address: Any) -> None:
        if address[0] in SWALLOWS:
            await asyncio.Event().wait()
        await connect(sock, address)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr(loop, "sock_connect", reach)


@pytest.mark.parametrize("kind", ["dns", "dns4"])
async def test_a_friend_is_found_behind_an_address_that_swallows_packets(
    knocking: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolve_to(monkeypatch, *SWALLOWS, "127.0.0.1")
    async with server:
        assert await knocking.may_be_there(f"/{kind}/friend.example/tcp/{port}", 5.0)
        assert await knocking.listening([f"/ip4/127.0.0.1/tcp/{port}"]) != []


async def test_a_friend_who_is_away_is_not_dialled(
    knocking: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, SWALLOWS[0], "127.0.0.1")
    assert not await knocking.may_be_there(f"/dns4/friend.example/tcp/{free_port()}", 5.0)
    # Of other families nothing is known here.
    resolve_to(monkeypatch, "127.0.0.1")
    assert not await knocking.may_be_there("/dns6/friend.example/tcp/1", 5.0)
