"""Who would answer is known before the question, and what nobody serves is one key from Share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_shown
from tests.private_swarms.peers import peer
from torbiz_tui.config import Config, SwarmConfig
from torbiz_tui.inference.events import Hop, Route
from torbiz_tui.inference.runner_messages import read_error
from torbiz_tui.inference.service import not_served
from torbiz_tui.private_swarms.known import KnownSwarms
from torbiz_tui.sharing.own_swarm import not_serving_yet
from torbiz_tui.sharing.state import Phase, SharingState, Stage
from torbiz_tui.widgets.model_field import ModelField
from torbiz_tui.widgets.question_input import QuestionInput

HALF = Route(8, (Hop(0, 4, "12D3KooWvYA3Rn", "alice"),), ((4, 8),))
WHOLE = Route(8, (Hop(0, 4, "12D3KooWvYA3Rn", "alice"), Hop(4, 8, "12D3KooWbobby")))
SERVING = SharingState(phase=Phase.SERVING, stage=Stage.SERVING, spec=SPEC, blocks=(0, 4))


async def test_the_route_is_shown_in_as_many_words_as_fit(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        services.inference.lead(WHOLE)
        await until_shown(pilot, "0–3 via alice (…vYA3Rn) → 4–7 via …Wbobby")
        await pilot.resize_terminal(40, 24)
        await until_shown(pilot, "0–3 alice → 4–7 …Wbobby")
        services.inference.lead(Route(8, tuple(Hop(n, n + 1, f"12D3KooW{n}") for n in range(8))))
        await until_shown(pilot, "8 blocks over 8 servers")
        services.inference.lead(Route(8, local=True))
        await pilot.resize_terminal(80, 24)
        await until_shown(pilot, "on this machine, no swarm")


async def test_missing_blocks_are_said_before_the_question_and_shared_with_one_key(
    services: FakeServices,
) -> None:
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        services.inference.lead(HALF)
        await until_shown(pilot, "Nobody serves blocks 4–7 of torbiz-demo", "Ctrl+S")
        await pilot.press("escape")
        await until_gone(pilot, "Nobody serves blocks 4–7 of torbiz-demo")
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Nobody serves blocks 4–7 of torbiz-demo")
        assert app.screen.query_one(QuestionInput).text == "go"
        assert services.inference.asked == []
        await pilot.press("ctrl+s")
        await until_shown(pilot, "4:8", "chosen here")
        assert app.current_mode == "share"
        assert app.screen.query_one("#blocks", Input).value == "4:8"
        assert app.screen.query_one(ModelField).value == "torbiz-demo"
        await pilot.press("enter")
        await until(pilot, lambda: services.sharing.started, "started")
        assert services.sharing.started[0].blocks == "4:8"


async def test_of_several_holes_the_largest_is_chosen(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(100, 30)) as pilot:
        services.inference.lead(Route(8, (), ((0, 1), (3, 6), (7, 8))))
        await until_shown(pilot, "blocks 0, 3–5, 7")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Blocks 0, 7 are missing too; this is the")
        assert app.screen.query_one("#blocks", Input).value == "3:6"


async def test_who_hosts_already_is_offered_a_restart_with_them(services: FakeServices) -> None:
    app = app_of(services)
    async with app.run_test(size=(100, 30)) as pilot:
        services.sharing.become(SERVING)
        services.inference.lead(HALF)
        await until_shown(pilot, "Ctrl+S")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Restart with these", "The server goes on as it is until you")
        assert app.screen.query_one("#blocks", Input).value == "4:8"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Restart the server?", "→ 4:8")
    assert services.sharing.stopped == 0


@pytest.mark.parametrize("hops", [(), (Hop(0, 4, peer(1).rpartition("/")[2]),)])
async def test_the_own_blocks_that_are_asked_for_are_kept_beside_the_missing_ones(
    services: FakeServices, hops: tuple[Hop, ...]
) -> None:
    app = app_of(services)
    route = Route(8, hops, ((4, 8),))
    async with app.run_test(size=(100, 30)) as pilot:
        services.sharing.become(replace(SERVING, addresses=(peer(1),)))
        services.inference.lead(route)
        await until_shown(pilot, "Ctrl+S")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Restart with these", "0:4, which this machine serves already")
        assert app.screen.query_one("#blocks", Input).value == "0:8"


async def test_the_message_goes_when_the_blocks_appear(services: FakeServices) -> None:
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        services.inference.lead(HALF)
        await until_shown(pilot, "Nobody serves blocks 4–7 of torbiz-demo")
        services.inference.lead(WHOLE)
        await until_gone(pilot, "obody serves")
        await until_shown(pilot, "4–7 via …Wbobby")
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3")


async def test_an_adapter_that_is_missing_is_told_and_no_blocks_are_offered(
    services: FakeServices,
) -> None:
    missing = ((0, 4),)
    route = Route(8, (), missing, adapter="my/lora", without_adapter=missing, adapters=("other",))
    async with app_of(services).run_test(size=(100, 24)) as pilot:
        services.inference.lead(route)
        await until_shown(pilot, "⚠ no server hosts the adapter my/lora for blocks 0–3 of 8")
        await until_shown(pilot, "Their servers host: other.", "Ask without it")
        assert "Ctrl+S" not in screen_text(pilot.app)


async def test_also_that_of_an_answer_that_lost_its_server(services: FakeServices) -> None:
    services.inference.error = read_error(
        {"code": "missing_blocks", "message": "Nobody.", "missing": [[4, 8]]}, "torbiz-demo", 8
    )
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        services.inference.lead(WHOLE)
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Petals is a swarm.", "✗ Nobody serves blocks 4–7 of torbiz-demo")
        await until_shown(pilot, "The others of its 8 blocks are online.")
        services.inference.lead(HALF)
        services.inference.lead(WHOLE)
        await until_gone(pilot, "✗ Nobody serves blocks 4–7")


async def test_no_swarm_is_a_state_until_this_machine_serves(services: FakeServices) -> None:
    services.inference.warm_error = not_served("torbiz-demo", "No server runs in it.", ((0, 8),), 8)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "⚠ Nobody serves torbiz-demo now. Ctrl+S shares it.")
        assert "No server runs in it." not in screen_text(pilot.app)
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "No server runs in it.")
        assert app.screen.query_one(QuestionInput).text == "go"
        await pilot.press("escape")
        services.inference.warm_error = None
        warmed = services.inference.warmed
        services.sharing.become(replace(SERVING, blocks=(0, 8)))
        await until(pilot, lambda: services.inference.warmed > warmed, "warmed again")
        services.inference.become("ready")
        services.inference.lead(WHOLE)
        await until_gone(pilot, "obody serves")


async def test_a_private_swarm_that_has_answered_is_known(services: FakeServices) -> None:
    swarm = SwarmConfig(initial_peers=(peer(1),), name="friends")
    services.config = Config(model="torbiz-demo", swarm=swarm)
    known = KnownSwarms(services.paths)
    async with app_of(services).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Ask a question")
        assert known.all() == []
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "12.3 tokens/s")
        await until(pilot, lambda: known.find("friends"), "remembered")
    found = known.require("friends")
    assert (found.peers, found.started_here) == ((peer(1),), False)
    assert [model.name for model in found.models] == ["torbiz-demo"]


async def test_a_question_waits_for_the_server_of_this_machine_that_starts(
    services: FakeServices,
) -> None:
    starting = replace(SERVING, phase=Phase.STARTING, stage=Stage.LAUNCHING, blocks=None)
    services.sharing.become(starting)
    services.inference.warm_error = not_serving_yet("torbiz-demo", starting)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "The server of this machine does not serve torbiz-demo now.")
        assert "Ctrl+S" not in screen_text(app)
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Waiting for this machine: Starting Petals", "Escape stops it")
        services.sharing.become(replace(starting, stage=Stage.LOADING, blocks=(0, 8)))
        await until_shown(pilot, "Waiting for this machine: Loading blocks: 0 of 8")
        await pilot.press("escape")
        await until_gone(pilot, "Waiting for this machine")
        assert app.screen.query_one(QuestionInput).text == "go"
        await pilot.press("enter")
        await until_shown(pilot, "Waiting for this machine")
        services.inference.warm_error = None
        services.sharing.become(SERVING)
        await until_shown(pilot, "Petals is a swarm.")
        assert [one[-1].content for one in services.inference.asked] == ["go"]


async def test_a_question_that_has_waited_goes_to_no_other_model(services: FakeServices) -> None:
    starting = replace(SERVING, phase=Phase.STARTING, stage=Stage.LAUNCHING, blocks=None)
    services.sharing.become(starting)
    services.inference.warm_error = not_serving_yet("torbiz-demo", starting)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Waiting for this machine: Starting Petals")
        services.inference.choose("acme/public")
        services.inference.warm_error = None
        services.sharing.become(SERVING)
        await until_shown(pilot, "The question was not asked: another model was chosen")
        assert app.screen.query_one(QuestionInput).text == "go"
    assert not services.inference.asked


async def test_a_question_does_not_wait_for_a_server_that_pauses(services: FakeServices) -> None:
    pauses = replace(SERVING, phase=Phase.STARTING, stage=Stage.LAUNCHING, pauses="on the battery")
    services.sharing.become(pauses)
    services.inference.warm_error = not_serving_yet("torbiz-demo", pauses)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Paused: on the battery.", "does not serve torbiz-demo now")
        assert app.screen.query_one(QuestionInput).text == "go"


async def test_a_question_waits_also_where_the_runner_misses_the_blocks_meanwhile(
    services: FakeServices,
) -> None:
    starting = replace(SERVING, phase=Phase.STARTING, stage=Stage.LAUNCHING, blocks=None)
    services.sharing.become(starting)
    app = app_of(services)
    async with app.run_test(size=(80, 24)) as pilot:
        services.inference.lead(HALF)
        await until_shown(pilot, "The server of this machine is starting")
        services.inference.warm_error = not_serving_yet("torbiz-demo", starting)
        await pilot.press(*"go", "enter")
        await until_shown(pilot, "Waiting for this machine: Starting Petals")
        services.inference.warm_error = None
        services.sharing.become(SERVING)
        await until_shown(pilot, "Petals is a swarm.")
