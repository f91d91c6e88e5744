"""Stopping a server that is answering: the answer finishes, or is cut off when told twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import demo_config
from tests.promptness import require_prompt_async
from torbiz_tui.assembly import Services, build_services
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    Recovering,
    TokenReceived,
)
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, SharingState

pytestmark = pytest.mark.swarm

# At such a temperature the model babbles and does not come to an end by itself.
LONG = GenerateOptions(max_new_tokens=300, temperature=8.0, seed=1)


async def serve(sharing: SharingService) -> None:
    """Have a server, unless there is one."""
    if sharing.state.phase is not Phase.SERVING:
        await sharing.start(sharing.default_request())
        await sharing.wait_serving(180)


@pytest.fixture
async def services(demo_home: Path) -> AsyncIterator[Services]:
    # Time enough for an answer, on any machine.
    made = build_services(demo_config(demo_home, **{"share.drain_s": 120.0}), Paths(demo_home))
    await serve(made.sharing)
    yield made
    await made.sharing.stop(now=True)
    await made.close()


async def until(sharing: SharingService, wanted: str) -> SharingState:
    with sharing.subscribe() as changes:
        states = aiter(changes)
        async with asyncio.timeout(120):
            while not getattr(sharing.state, wanted):
                await anext(states)
    return sharing.state


async def answer(services: Services, begun: asyncio.Event) -> list[ChatEvent]:
    events = []
    async for event in services.inference.ask([Message("user", "What is Petals?")], LONG):
        events.append(event)
        if isinstance(event, TokenReceived):
            begun.set()
    return events


async def test_an_answer_finishes_before_the_server_stops(services: Services) -> None:
    begun = asyncio.Event()
    asking = asyncio.create_task(answer(services, begun))
    await asyncio.wait_for(begun.wait(), 120)
    await until(services.sharing, "requests_open")
    report = await asyncio.wait_for(services.sharing.stop(), 120)
    assert report is not None
    assert (report.code, report.killed, report.asked) == (0, False, True)
    events = await asyncio.wait_for(asking, 120)
    assert isinstance(events[-1], AnswerDone)
    assert not [event for event in events if isinstance(event, Recovering)]
    told = [event.text for event in services.sharing.state.events]
    assert "Finishing what is being answered, for 120 s at most" in told
    assert services.sharing.state.phase is Phase.STOPPED


async def test_a_second_stop_cuts_it_off(services: Services) -> None:
    async def stopped() -> float:
        await serve(services.sharing)
        begun = asyncio.Event()
        asking = asyncio.create_task(answer(services, begun))
        await asyncio.wait_for(begun.wait(), 120)
        await until(services.sharing, "requests_open")
        stopping = asyncio.create_task(services.sharing.stop())
        await until(services.sharing, "draining")
        at = time.monotonic()
        await services.sharing.stop(now=True)
        report = await stopping
        took = time.monotonic() - at
        assert report is not None
        assert report.asked
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError, TorbizError):
            await asking
        return took

    await require_prompt_async(stopped, 7)


async def test_a_session_that_waits_for_a_person_is_not_waited_for(services: Services) -> None:
    short = GenerateOptions(max_new_tokens=5)

    async def stopped() -> float:
        await serve(services.sharing)
        async for _event in services.inference.ask([Message("user", "What is Petals?")], short):
            pass
        await until(services.sharing, "requests_open")
        at = time.monotonic()
        report = await services.sharing.stop()
        took = time.monotonic() - at
        assert report is not None
        assert (report.code, report.killed, report.asked) == (0, False, True)
        return took

    # Nothing is computed for it any more: the server sees that by itself.
    await require_prompt_async(stopped, 7)
