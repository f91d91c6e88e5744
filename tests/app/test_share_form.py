"""Share before a start: what the form tells, the rarer settings, and a restart with others."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Select

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_shown
from tests.private_swarms.peers import peer
from tests.swarm_map.swarms import server, snapshot
from torbiz_tui import catalogue
from torbiz_tui.catalogue import ModelInfo, demo_info
from torbiz_tui.catalogue.published import PUBLISHED
from torbiz_tui.environments.base import ExitReport
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, encode
from torbiz_tui.private_swarms.known import KnownModel, KnownSwarm, KnownSwarms
from torbiz_tui.screens import preparing
from torbiz_tui.sharing.state import Phase, SharingState, Stage
from torbiz_tui.widgets.model_field import ModelField
from torbiz_tui.widgets.share_form import ShareForm

TOKEN = "hf_typedtypedtyped"
LLAMA = next(one.info() for one in PUBLISHED if one.name == "meta-llama/Llama-2-7b-chat-hf")
SERVING = SharingState(
    phase=Phase.SERVING, stage=Stage.SERVING, spec=SPEC, blocks=(0, 8), serving_since=time.time()
)


async def open_over_running(pilot: Pilot[None], services: FakeServices) -> None:
    """The form of a server that runs."""
    services.sharing.become(SERVING)
    await until_shown(pilot, "Sharing torbiz-demo")
    await pilot.press("e")
    await until_shown(pilot, "Restart with these")


@pytest.fixture
def with_llama(monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[ModelInfo] = [demo_info(), LLAMA]
    monkeypatch.setattr(catalogue, "known_models", lambda paths: models)


@pytest.mark.usefixtures("with_llama")
async def test_the_list_says_what_fits_and_why_and_the_form_what_that_means(
    services: FakeServices,
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks", "auto: all 8; 4.0 GiB free, 20% kept")
        await pilot.press("ctrl+t")
        await until_shown(pilot, "Which model is shared?", "fits whole,", "chosen now")
        await until_shown(pilot, "4.0 GiB free on this machine's processor")
        await pilot.press("down")
        await until_shown(pilot, " of 32, licence, 7B chat", " of 32 blocks.")
        await until_shown(pilot, "Licence llama2, to be accepted at the hub")
        await pilot.press("enter")
        await until_shown(pilot, f"{LLAMA.name}  (32 blocks", " of 32; 4.0 GiB free")
        await until_shown(pilot, "Licence llama2, to be accepted at the hub")
        app.screen.query_one("#blocks", Input).value = "0:20"
        await until_shown(pilot, "20 blocks may not fit: ")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
    assert services.sharing.started[0].model == LLAMA.name


async def test_the_swarm_is_looked_at_beside_and_its_holes_are_said(
    services: FakeServices,
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        app.screen.query_one("#swarm", Select).value = "public"
        await until_shown(pilot, "Connecting to the swarm…")
        assert services.swarm_monitor.asked == [(None, "torbiz-demo", "")]
        services.swarm_monitor.snapshot = snapshot(8, server(1, 0, 5), server(2, 6, 7))
        app.screen.query_one("#swarm", Select).value = "join"
        await until_gone(pilot, "Connecting to the swarm…")
        app.screen.query_one("#peers", Input).value = peer(1)
        await until_shown(pilot, "Now: blocks 0:5, 6:7 served, 5:6, 7:8 lack a server.")
        assert services.swarm_monitor.asked[-1] == ((peer(1),), "torbiz-demo", "")
        app.screen.query_one("#swarm", Select).value = "new"
        await until_gone(pilot, "lack a server")


async def test_a_swarm_that_cannot_be_looked_at_is_no_error_of_the_form(
    services: FakeServices,
) -> None:
    services.can_ask = False
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        app.screen.query_one("#swarm", Select).value = "public"
        await until_shown(pilot, "once Setup (F1) is done")
        assert services.swarm_monitor.asked == []


async def test_an_invite_code_names_the_model_and_goes_along(services: FakeServices) -> None:
    invite = Invite((peer(1),), (InvitedModel("owner/big", "big-hf", "v1"),), "club")
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        app.screen.query_one("#swarm", Select).value = "join"
        app.screen.query_one("#peers", Input).value = encode(invite)[:-3]
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ The invite code", "characters are missing")
        options = app.screen.query_one("#petals_options", Input)
        options.value = "num_handlers=3"
        app.screen.query_one("#peers", Input).value = encode(invite)
        await until_shown(pilot, "Named by the swarm. The swarm serves revision=v1.")
        # Nobody has named a revision of what another swarm serves.
        main = replace(invite, models=(InvitedModel("owner/big", "big-hf"),))
        app.screen.query_one("#peers", Input).value = encode(main)
        await until(pilot, lambda: options.value == "num_handlers=3", "left out")
        app.screen.query_one("#peers", Input).value = encode(invite)
        await until(pilot, lambda: "revision=v1" in options.value, "taken again")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
    request = services.sharing.started[0]
    assert (request.model, request.initial_peers) == ("owner/big", (peer(1),))
    assert (request.swarm_name, request.dht_prefix) == ("club", "big-hf")
    assert request.petals_options == ("num_handlers=3", "revision=v1")


async def test_a_known_swarm_is_chosen_by_its_name(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torbiz_tui.private_swarms import dialling

    friends = KnownSwarm(
        "friends", (KnownModel("owner/big"),), (peer(1), peer(2)), (peer(3, port=31400),)
    )
    KnownSwarms(services.paths).remember(friends)
    monkeypatch.setattr(dialling, "answering", lambda asked: (peer(2),))
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        app.screen.query_one("#swarm", Select).value = "known:friends"
        await until_shown(pilot, "friends, last seen", "owner/big  (80 blocks", "port 31400")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
        request = services.sharing.started[0]
        assert (request.initial_peers, request.swarm_name) == ((peer(2),), "friends")
        monkeypatch.setattr(dialling, "answering", lambda asked: ())
        services.sharing.become(SharingState())
        await until_shown(pilot, "Start sharing")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ None of the 2 known addresses of the swarm friends")
    assert len(services.sharing.started) == 1


async def test_the_rarer_settings_are_a_key_away_and_all_fit(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks", "▸ More settings (Ctrl+O): port 31337")
        await pilot.press("ctrl+o")
        await until_shown(
            pilot,
            "▾ More",
            "Number format",
            "Cache limit",
            "Announce",
            "Hub token",
            "Start sharing",
        )
        assert app.focused is not None
        assert app.focused.id == "port"
        for name, value in (
            ("port", "31400"),
            ("cache_tokens", "2048"),
            ("public_name", "ada"),
            ("swarm_name", "club"),
            ("throughput", "10"),
            ("announce", "/ip4/192.0.2.9/tcp/31400"),
        ):
            app.screen.query_one(f"#{name}", Input).value = value
        app.screen.query_one("#torch_dtype", Select).value = "bfloat16"
        await pilot.press("ctrl+o")
        await until_shown(pilot, "▸ More settings (Ctrl+O): port 31400, bfloat16, cache of 2048")
        await until_gone(pilot, "Hub token")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
    assert services.sharing.started == [
        replace(
            services.sharing.request,
            port=31400,
            torch_dtype="bfloat16",
            attn_cache_tokens=2048,
            public_name="ada",
            swarm_name="club",
            throughput="10",
            announce_maddrs=("/ip4/192.0.2.9/tcp/31400",),
        )
    ]


@pytest.mark.usefixtures("with_llama")
async def test_when_it_pauses_is_chosen_and_holds_for_a_restart(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks", "20% kept back")
        await pilot.press("ctrl+o", "tab", *["backspace"] * 2, *"30")
        await until_shown(pilot, "30% kept back", "Percent of the free memory that is left")
        await pilot.press("tab", *"22-7", "ctrl+s")
        await until_shown(pilot, "✗ Accepted is hours such as 22:00-07:00, or nothing.")
        await pilot.press(*["backspace"] * 4, *"22:00-07:00", "tab")
        await until_shown(pilot, "What it does while this machine runs on its battery.")
        await pilot.press("enter", "down", "enter", "tab", *"40", "tab", "enter", "down", "enter")
        await until_shown(pilot, "at 22:00-07:00, not on battery, ", "stays ended")
        await until_gone(pilot, "✗")
        app.screen.query_one("#petals_options", Input).value = "num_handlers=x"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ num_handlers")
        app.screen.query_one("#petals_options", Input).value = "num_handlers=3"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
        request = services.sharing.started[0]
        wanted = {
            "hours": "22:00-07:00",
            "mains_only": True,
            "pause_when_busy": 40,
            "reserve_percent": 30,
            "restart_on_crash": False,
            "petals_options": ("num_handlers=3",),
        }
        assert request == replace(services.sharing.request, **wanted)  # type: ignore[arg-type]
        # Found again by an app that did not start it, and while it pauses.
        spec = replace(SPEC, **{**wanted, "public_name": "ada"})  # type: ignore[arg-type]
        pausing = "it serves at 22:00-07:00 only"
        state = SharingState(phase=Phase.STARTING, stage=Stage.LAUNCHING, spec=spec, pauses=pausing)
        services.sharing.become(state)
        await until_shown(pilot, f"Paused: {pausing}", "goes on by itself at 22:00. e changes")
        await until_shown(pilot, "private, new · paused")
        await pilot.press("e")
        await until_shown(pilot, "Restart with these", "as ada")
        assert app.focused is not None
        assert app.focused.id == "hours"
        await pilot.press(*"23:00-07:00", "ctrl+s")
        await until_shown(pilot, "· hours 22:00-07:00 → 23:00-07:00")
        await pilot.press("escape", "escape")
        services.sharing.become(replace(SERVING, spec=spec))
        await until_shown(pilot, "Pauses", "outside of 22:00-07:00, on the battery, while others")


async def test_a_typed_token_is_hidden_and_goes_to_the_start_alone(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_environment1")
    services.sharing.error = UsageError(
        "owner/big is gated, and no token was given.", code="token_missing"
    )
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "taken from the environment", "✗ owner/big is gated")
        assert app.focused is not None
        assert app.focused.id == "hub_token"
        await pilot.press(*TOKEN)
        await until_shown(pilot, "•" * len(TOKEN))
        services.sharing.error = None
        await pilot.press("enter")
        await until(pilot, lambda: services.sharing.started, "started")
        assert TOKEN not in screen_text(app)
    assert services.sharing.tokens == ["", TOKEN]
    assert TOKEN not in repr(services.sharing.started)
    assert all(TOKEN not in file.read_text() for file in services.paths.logs.iterdir())


async def test_the_command_follows_the_fields(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "$ docker run --rm torbiz --port 31337")
        app.screen.query_one("#port", Input).value = "31400"
        await until_shown(pilot, "$ docker run --rm torbiz --port 31400")
        app.screen.query_one("#port", Input).value = "x"
        await until_gone(pilot, "$ docker run")


async def test_settings_of_a_running_server_are_changed_by_a_restart(
    services: FakeServices,
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        spec = replace(SPEC, port=31999, blocks="0:8", public_name="ada")
        services.sharing.become(replace(SERVING, spec=spec, requests_open=2))
        await until_shown(pilot, "Sharing torbiz-demo", "Change the settings (e)")
        await pilot.press("e")
        await until_shown(pilot, "Restart with these", "port 31999, as ada", "goes on")
        # Typed at once: beside a button, 0 and 4 would be keys.
        await pilot.press(*"0:4")
        assert app.screen.query_one("#blocks", Input).value == "0:4"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Restart the server?", "· blocks 0:8 → 0:4")
        await until_shown(pilot, "2 requests are being answered and may finish")
        await pilot.press("enter")
        await until_gone(pilot, "Restart the server?")
        assert services.sharing.stopped == 0
        await until_shown(pilot, "Restart with these", "0:4")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Restart the server?")
        await pilot.press("right", "enter")
        await until(pilot, lambda: services.sharing.started, "started")
        await until_shown(pilot, "Starting torbiz-demo")
    assert services.sharing.stopped == 1
    request = services.sharing.started[0]
    assert (request.blocks, request.port, request.public_name) == ("0:4", 31999, "ada")


async def test_a_pause_leaves_the_form_to_who_types_in_it(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        services.sharing.become(SERVING)
        await until_shown(pilot, "Sharing torbiz-demo")
        await pilot.press("e")
        await until_shown(pilot, "Restart with these", "^s Restart")
        app.screen.query_one("#blocks", Input).focus()
        pauses = "other programs use 80%"
        for state in (
            SharingState(phase=Phase.STARTING, stage=Stage.LAUNCHING, spec=SPEC, pauses=pauses),
            SERVING,
        ):
            services.sharing.become(state)
            await until_shown(pilot, "paused" if state.pauses else "serving")
            await until_shown(pilot, "Restart with these")
            assert app.focused is not None
            assert app.focused.id == "blocks"


async def test_one_question_is_asked_of_who_is_still_there(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[asyncio.Event] = []

    async def check(*_: object, **__: object) -> None:
        checks.append(asyncio.Event())
        await checks[-1].wait()

    monkeypatch.setattr(services.sharing, "check", check)
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_over_running(pilot, services)
        await pilot.press("ctrl+s", "ctrl+s")
        await until(pilot, lambda: len(checks) == 2, "checked")
        for checked in checks:
            checked.set()
        await until_shown(pilot, "Restart the server?")
        await pilot.press("escape")
        await until_gone(pilot, "Restart the server?")
        await until_shown(pilot, "Restart with these")
        # Who goes elsewhere while it is checked is not asked there.
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(checks) == 3, "checked again")
        await pilot.press("f3")
        await until_gone(pilot, "Restart with these")
        checks[-1].set()
        await pilot.pause()
        assert "Restart the server?" not in screen_text(app)
        await pilot.press("f2")
        await until_shown(pilot, "Restart with these")
    assert services.sharing.stopped == 0


async def test_what_adapters_need_is_refused_before_anything_is_stopped(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(*_: object, **__: object) -> None:
        raise TorbizError("peft could not be installed.", code="adapters_not_installed")

    monkeypatch.setattr(services.sharing, "check", check)
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_over_running(pilot, services)
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ peft could not be installed.")
        assert app.focused is not None
        assert app.focused.id == "petals_options"
    assert services.sharing.stopped == 0


async def test_a_revision_is_looked_up_and_goes_with_its_model(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(name: str, *_: object, revision: str = "", **__: object) -> ModelInfo:
        if revision != "v1":
            raise TorbizError(f"There is no {revision} of it.", code="revision_not_found")
        return ModelInfo(name, name, "llama", 60)

    monkeypatch.setattr(catalogue, "resolve_model", resolve)
    monkeypatch.setattr(preparing, "_REVISION_AFTER_S", 0)
    services.sharing.request = replace(services.sharing.request, model="owner/big")
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "owner/big  (80 blocks", "More settings (Ctrl+O): port 31337")
        options = app.screen.query_one("#petals_options", Input)
        options.value = "num_handlers=3 revision=v1"
        await until_shown(pilot, "owner/big  (60 blocks", "port 31337, 2 Petals options")
        options.value = "num_handlers=3 revision=v2"
        await until_shown(pilot, "There is no v2 of it.", "owner/big  (80 blocks")
        app.screen.query_one(ShareForm).choose_model("torbiz-demo")
        await until_shown(pilot, "Without revision=v2, which was for owner/big.", "torbiz-demo  (8")
        assert options.value == "num_handlers=3"


async def test_what_is_wrong_with_a_choice_is_not_said_of_another(services: FakeServices) -> None:
    services.sharing.error = UsageError("There is no device cuda.", code="no_device")
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        app.screen.query_one("#device", Select).value = "cuda"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ There is no device cuda.")
        app.screen.query_one("#device", Select).value = "cpu"
        await until_gone(pilot, "There is no device cuda.")
        # The first on the screen gets the keys.
        app.screen.query_one("#swarm_name", Input).value = "a/b"
        app.screen.query_one("#port", Input).value = "x"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ A number from 1 to", "✗ Letters, digits")
        assert app.focused is not None
        assert app.focused.id == "port"


async def test_escape_leaves_the_form_and_the_server_as_they_are(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_over_running(pilot, services)
        app.screen.query_one("#blocks", Input).value = "0:3"
        await pilot.press("escape")
        await until_shown(pilot, "Sharing torbiz-demo")
        await pilot.press("e")
        await until_shown(pilot, "Restart with these", "0:3")
        # It is refused before anything is stopped.
        services.sharing.error = UsageError("There is no device cuda.", code="no_device")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ There is no device cuda.")
        services.sharing.become(SharingState())
        await until_shown(pilot, "Start sharing", "0:3")
    assert services.sharing.stopped == 0
    assert services.sharing.started == []


async def test_weights_that_can_run_code_are_asked_about(services: FakeServices) -> None:
    line = (
        "Download failed (pickled_weights): The weights of owner/big are pickled. Why: Loading"
        " them can run code. What to do: Choose another."
    )
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Starting torbiz-demo")
        failed = replace(
            services.sharing.state,
            phase=Phase.FAILED,
            exit_report=ExitReport(1, last_lines=(line,)),
        )
        services.sharing.become(failed)
        await until_shown(pilot, "are pickled.", "Load what may run code of its owner")
        await pilot.press("enter")
        await until_gone(pilot, "Load what may run code")
        assert len(services.sharing.started) == 1
        await pilot.press("r")
        await until_shown(pilot, "Load what may run code")
        await pilot.press("right", "enter")
        await until(pilot, lambda: len(services.sharing.started) == 2, "started again")
    assert [request.allow_pickled for request in services.sharing.started] == [False, True]


async def test_a_model_of_no_list_is_looked_up_beside(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(name: str, *_: object, **__: object) -> ModelInfo:
        if name != "me/mine":
            raise TorbizError("There is no model of that name.", code="model_not_found")
        return ModelInfo("me/mine", "me/mine", "llama", 12)

    monkeypatch.setattr(catalogue, "resolve_model", resolve)
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        form = app.screen.query_one(ModelField)
        await pilot.press("shift+tab", "shift+tab", "shift+tab", "shift+tab", "shift+tab")
        assert app.focused is form
        await pilot.press("enter")
        await until_shown(pilot, "owner/big")
        await pilot.press("down", "down", *"no/such", "enter")
        await until_shown(pilot, "There is no model of that name.")
        await pilot.press("ctrl+t")
        await until_shown(pilot, "owner/big")
        await pilot.press("down", *"me/mine", "enter")
        await until_shown(pilot, "me/mine  (12 blocks)")
        app.screen.query_one("#blocks", Input).value = "0:13"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ Blocks 0:13 are not in me/mine, which has 12.")


async def test_on_a_narrow_terminal_no_value_of_the_settings_is_cut_off(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(60, 32)) as pilot:
        await until_shown(pilot, "More settings")
        await pilot.press("ctrl+o")
        await until_shown(pilot, "left to Petals", "Throughput")
        rows = screen_text(pilot.app).splitlines()
        assert not any("Cache limit" in row and "Throughput" in row for row in rows)
        await pilot.resize_terminal(80, 32)
        await until(
            pilot,
            lambda: any(
                "Cache limit" in row and "Throughput" in row
                for row in screen_text(pilot.app).splitlines()
            ),
            "side by side",
        )
