"""The sockets: what is sent at once, which addresses, what cannot be had."""

from __future__ import annotations

import asyncio
import socket

import pytest

from torbiz_tui.api.listening import base_url, is_loopback, listen
from torbiz_tui.errors import TorbizError


async def test_a_token_is_not_held_back_until_the_last_one_is_acknowledged() -> None:
    (listening,) = listen("127.0.0.1", 0)
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)

    async with await asyncio.start_server(accept, sock=listening):
        _reader, writer = await asyncio.open_connection(*listening.getsockname())
        server_side = await accepted
        connection = server_side.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        server_side.close()
        writer.close()


@pytest.mark.parametrize(
    ("host", "loopback", "shown"),
    [("127.0.0.1", True, "127.0.0.1"), ("localhost", True, "localhost"), ("0.0.0.0", False, None)],
)
def test_the_addresses_of_a_host(host: str, loopback: bool, shown: str | None) -> None:
    sockets = listen(host, 0)
    try:
        assert is_loopback(sockets) is loopback
        ports = {listening.getsockname()[1] for listening in sockets}
        assert len(ports) == 1
        url = base_url(host, sockets)
        assert url == f"http://{shown or socket.gethostname()}:{ports.pop()}/v1"
    finally:
        for listening in sockets:
            listening.close()


def test_what_cannot_be_had() -> None:
    (taken,) = listen("127.0.0.1", 0)
    with taken:
        with pytest.raises(TorbizError, match=f"Port {taken.getsockname()[1]} ") as caught:
            listen("127.0.0.1", taken.getsockname()[1])
        assert caught.value.code == "port_taken"
    for host in ("192.0.2.7", "no-such-host.invalid"):
        with pytest.raises(TorbizError) as unknown:
            listen(host, 0)
        assert unknown.value.code == "host_unknown"
