"""Clients that leave, streams that wait, and the end of the server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx2
import openai
import pytest

from tests.api.conftest import Served, serving_on_loopback
from tests.api.fakes import DONE, ROUTE, FakeService
from tests.promptness import require_prompt_async
from torbiz_tui.inference.events import Recovered, Recovering, StageChanged, TokenReceived

HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
BODY = {"model": "default", "messages": HELLO}


async def test_a_client_that_leaves_a_stream_cancels_it(served: Served) -> None:
    served.service.steps = [TokenReceived("Petals "), None, DONE]

    async def cancelled() -> float:
        stream = await served.client().chat.completions.create(
            model="default", messages=HELLO, stream=True
        )
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await served.service.wait_waiting()
        served.service.cancelled.clear()
        left = time.monotonic()
        await stream.close()
        async with asyncio.timeout(5):
            await served.service.cancelled.wait()
        assert served.service.running == 0
        return time.monotonic() - left

    await require_prompt_async(cancelled, 0.2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_does_not_wait_cancels_its_answer(served: Served, stream: bool) -> None:
    served.service.steps = [None, DONE]
    asking = asyncio.create_task(served.post("/chat/completions", json=BODY | {"stream": stream}))
    await served.service.wait_waiting()
    asking.cancel()
    async with asyncio.timeout(5):
        await served.service.cancelled.wait()
    assert served.service.running == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_complete_is_not_cancelled(served: Served, stream: bool) -> None:
    response = await served.post("/chat/completions", json=BODY | {"stream": stream})
    assert response.status_code == 200
    served.end.set()
    await served.serving
    assert served.service.running == 0
    assert not served.service.cancelled.is_set()


async def test_the_others_go_on_when_one_leaves(served: Served) -> None:
    served.service.steps = [None, TokenReceived("Petals."), DONE]
    leaving = asyncio.create_task(served.post("/chat/completions", json=BODY))
    await served.service.wait_waiting()
    staying = asyncio.create_task(served.post("/chat/completions", json=BODY))
    await served.service.wait_waiting()
    leaving.cancel()
    async with asyncio.timeout(5):
        await served.service.cancelled.wait()
    served.service.go_on.set()
    assert (await staying).json()["choices"][0]["message"]["content"] == "Petals."


async def test_a_stream_that_waits_says_that_it_is_there(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torbiz_tui.api.answering.KEEP_ALIVE_S", 0.05)
    served.service.steps = [
        StageChanged("connecting"),
        None,
        TokenReceived("Petals "),
        Recovering(0, 4),
        Recovered(0.2, ROUTE),
        TokenReceived("is."),
        DONE,
    ]
    body = BODY | {"stream": True}
    lines: list[str] = []
    async with (
        httpx2.AsyncClient(timeout=10) as client,
        client.stream("POST", served.url + "/chat/completions", json=body) as response,
    ):
        # The stream has begun, although there is no token yet.
        assert response.status_code == 200
        async for line in response.aiter_lines():
            lines.append(line)
            if line == ": waiting":
                served.service.go_on.set()
    text = "\n".join(lines)
    assert 0 < text.index('"role":"assistant"') < text.index(": waiting") < text.index("Petals")
    assert text.index("Petals") < text.index("is.") < text.index("[DONE]")


async def test_the_official_client_overhears_the_waiting(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torbiz_tui.api.answering.KEEP_ALIVE_S", 0.05)
    served.service.steps = [None, TokenReceived("Petals."), DONE]
    stream = await served.client().chat.completions.create(
        model="default", messages=HELLO, stream=True
    )
    served.service.go_on.set()
    pieces = [chunk.choices[0].delta.content async for chunk in stream]
    assert pieces == ["", "Petals.", None]


async def test_running_answers_may_end(tmp_path: Path, service: FakeService) -> None:
    service.steps = [TokenReceived("Petals "), None, TokenReceived("is."), DONE]
    async with serving_on_loopback(tmp_path, service) as served:
        asking = asyncio.create_task(served.post("/chat/completions", json=BODY))
        await service.wait_waiting()
        served.end.set()
        with pytest.raises(OSError):
            while True:
                _reader, writer = await asyncio.open_connection("127.0.0.1", _port(served))
                writer.close()
                await writer.wait_closed()
        service.go_on.set()
        assert (await asking).json()["choices"][0]["message"]["content"] == "Petals is."
        async with asyncio.timeout(2):
            await served.serving


@pytest.mark.parametrize("hurried", [True, False])
async def test_answers_that_last_are_broken_off(
    tmp_path: Path, service: FakeService, monkeypatch: pytest.MonkeyPatch, hurried: bool
) -> None:
    monkeypatch.setattr("torbiz_tui.api.serving.GRACE_S", 60.0 if hurried else 0.2)
    service.steps = [TokenReceived("Petals "), None, DONE]
    async with serving_on_loopback(tmp_path, service) as served:
        stream = await served.client().chat.completions.create(
            model="default", messages=HELLO, stream=True
        )
        whole = asyncio.create_task(served.post("/chat/completions", json=BODY))
        await service.wait_waiting()
        await service.wait_waiting()
        served.end.set()
        if hurried:
            served.hurry.set()
        with pytest.raises(openai.APIError, match="ending") as caught:
            async for _chunk in stream:
                pass
        assert caught.value.code == "server_ending"
        response = await whole
        assert (response.status_code, response.json()["error"]["code"]) == (503, "server_ending")
        async with asyncio.timeout(2):
            await served.serving
        assert service.running == 0


async def test_every_request_is_a_line_in_the_log(served: Served) -> None:
    await served.post("/chat/completions", json=BODY)
    await served.post("/nowhere%0Ainjected", json={"secret": "words"})
    lines = [line for line in served.log.splitlines() if "[torbiz.api]" in line]
    assert len(lines) == 2
    assert "127.0.0.1 POST /v1/chat/completions 200 " in lines[0]
    assert "POST /v1/nowhere␊injected 404 " in lines[1]
    assert "Hi" not in served.log
    assert "words" not in served.log


async def test_what_is_no_http_is_refused_and_logged(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(served))
    writer.write(b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    assert "Invalid HTTP request" in served.log


def _port(served: Served) -> int:
    return int(served.url.split(":")[2].partition("/")[0])
