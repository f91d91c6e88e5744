"""The endpoint over a fake service, on a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import openai
import pytest

from tests.api.fakes import FakeService
from torbiz_tui.api.app import Api
from torbiz_tui.api.key import ApiKey
from torbiz_tui.api.listening import base_url, listen
from torbiz_tui.api.requests import ServedModel
from torbiz_tui.api.serving import serve
from torbiz_tui.config import AskConfig, Config, SwarmConfig
from torbiz_tui.logs.writing import start_logging
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.remembering import AskedSwarms


@dataclass
class Served:
    """A running server, and what a client needs to reach it."""

    service: FakeService
    url: str
    api: Api
    end: asyncio.Event
    hurry: asyncio.Event
    serving: asyncio.Task[None]
    paths: Paths
    clients: list[openai.AsyncOpenAI] = field(default_factory=list)

    def client(self, key: str = "none") -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=60)
        self.clients.append(client)
        return client

    async def post(self, path: str, **arguments: object) -> httpx2.Response:
        async with httpx2.AsyncClient(timeout=60) as client:
            return await client.post(self.url + path, **arguments)  # type: ignore[arg-type]

    @property
    def log(self) -> str:
        return (self.paths.logs / "app.log").read_text("utf-8")


@asynccontextmanager
async def serving_on_loopback(
    home: Path,
    service: FakeService,
    *,
    key: ApiKey | None = None,
    model: ServedModel | None = None,
    loopback: bool = True,
    defaults: AskConfig | None = None,
    initial_peers: tuple[str, ...] = (),
) -> AsyncIterator[Served]:
    paths = Paths(home)
    paths.ensure()
    start_logging(paths)
    sockets: list[socket.socket] = listen("127.0.0.1", 0)
    config = Config(swarm=SwarmConfig(initial_peers=initial_peers, name="friends"))
    api = Api(
        service.typed(),
        model or ServedModel("torbiz-demo", "torbiz-demo"),
        defaults or AskConfig(),
        key=key,
        loopback=loopback,
        swarms=AskedSwarms(paths, config),
    )
    end, hurry = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(api, sockets, end, hurry))
    served = Served(service, base_url("127.0.0.1", sockets), api, end, hurry, serving, paths)
    try:
        yield served
    finally:
        for client in served.clients:
            await client.close()
        end.set()
        hurry.set()
        async with asyncio.timeout(10):
            await serving


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def served(tmp_path: Path, service: FakeService) -> AsyncIterator[Served]:
    async with serving_on_loopback(tmp_path, service) as running:
        yield running
