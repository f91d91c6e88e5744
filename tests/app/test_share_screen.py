"""Share: the form keeps what was typed, the server is shown as it is."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from textual.widgets import Input, Select

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_matched, until_shown
from torbiz_tui.environments.base import ExitReport, ResourceSample
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.sharing.downloads import Download
from torbiz_tui.sharing.served import Served
from torbiz_tui.sharing.state import Phase, SharingEvent, SharingState, Stage

ADDRESS = "/ip4/192.168.1.20/tcp/31337/p2p/QmPeer"
SERVING = SharingState(
    phase=Phase.SERVING,
    stage=Stage.SERVING,
    spec=SPEC,
    blocks=(0, 8),
    serving_since=1.0,
    throughput=812.0,
    addresses=(ADDRESS,),
    requests_total=42,
    resources=ResourceSample(87.0, 612_000_000, 3),
    events=(SharingEvent(time.time(), "A [red]request[/red] came"),),
)


async def test_enter_starts_with_what_the_configuration_says(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo", "31337", "a new private swarm")
        await pilot.press("enter")
        await until(pilot, lambda: services.sharing.started, "started")
    assert services.sharing.started == [services.sharing.request]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("port", "99999", "A number from 1 to 65535"),
        ("port", "", "A number from 1 to 65535"),
        ("blocks", "3:99", "torbiz-demo, which has 8"),
        ("blocks", "many", "auto, a number"),
        ("blocks", "0", "auto, a number"),
    ],
)
async def test_a_wrong_field_says_so_and_keeps_what_was_typed(
    services: FakeServices, field: str, value: str, message: str
) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "torbiz-demo  (8 blocks")
        app.screen.query_one(f"#{field}", Input).value = value
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗", message)
        assert app.screen.query_one(f"#{field}", Input).value == value
        assert app.focused is not None
        assert app.focused.id == field
    assert services.sharing.started == []


async def test_joining_needs_an_address(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "8 blocks")
        app.screen.query_one("#swarm", Select).value = "join"
        await until_shown(pilot, "Address")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "a member of the swarm has sent you")
        app.screen.query_one("#peers", Input).value = f"{ADDRESS}, {ADDRESS}"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
    request = services.sharing.started[0]
    assert request.initial_peers == (ADDRESS, ADDRESS)
    assert not request.new_swarm
    assert not request.loopback


async def test_any_hub_id_can_be_typed(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "8 blocks")
        await pilot.press("ctrl+t")
        await until_shown(pilot, "Which model is shared?", "owner/big")
        await pilot.press("down", "down", *"me/mine", "enter")
        await until_shown(pilot, "me/mine", "The model hub cannot be reached.")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
    assert services.sharing.started[0].model == "me/mine"


async def test_a_refusal_of_the_service_is_shown_at_its_field(services: FakeServices) -> None:
    services.sharing.error = UsageError(
        "The port 31337 is taken.", remedy="Choose another.", code="port_taken"
    )
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "8 blocks")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ The port 31337 is taken. Choose another.")
        assert app.focused is not None
        assert app.focused.id == "port"


async def test_other_errors_say_what_why_and_the_remedy(services: FakeServices) -> None:
    services.sharing.error = TorbizError("Not ready.", why="No [b]venv[/b].", remedy="F1 helps.")
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "8 blocks")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "✗ Not ready.", "No [b]venv[/b].", "→ F1 helps.", "torbiz-demo")
        await pilot.press("escape")
        await until_gone(pilot, "Not ready.")


async def test_something_unforeseen_is_one_sentence_and_a_traceback_in_the_log(
    services: FakeServices,
) -> None:
    services.sharing.error = RuntimeError("boom [/]")
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "8 blocks")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "RuntimeError: boom [/]", "Start sharing")
    assert "Traceback" in (services.paths.logs / "app.log").read_text()


async def test_the_stages_of_a_start(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(
            SharingState(
                phase=Phase.STARTING,
                stage=Stage.LOADING,
                spec=SPEC,
                blocks=(0, 8),
                blocks_loaded=3,
                started_at=time.time() - 12,
            )
        )
        await until_shown(
            pilot, "✓ Connecting to the swarm", "▸ Loading blocks  3 of 8", "· Serving"
        )
        # However long the machine took to draw it.
        await until_matched(pilot, r"Starting torbiz-demo  (1[2-9]|[2-9]\d) s")


async def test_what_is_installed_before_is_a_stage_that_can_be_stopped(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        installing = SharingState(phase=Phase.STARTING, stage=Stage.PREPARING, spec=SPEC)
        services.sharing.become(replace(installing, preparing="Downloading peft"))
        await until_shown(pilot, "▸ Installing what adapters need: Downloading peft")
        await until_shown(pilot, "· Starting Petals", "Stop sharing (x)")
        assert "Change the settings" not in screen_text(pilot.app)
        await pilot.press("x")
        await until(pilot, lambda: services.sharing.stopped == 1, "stopped")


async def test_a_download_is_told_with_its_rate_and_time(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        download = Download(1_200_000_000, 3_400_000_000, 45_000_000, 50)
        services.sharing.become(
            SharingState(
                phase=Phase.STARTING, stage=Stage.DOWNLOADING, spec=SPEC, download=download
            )
        )
        await until_shown(
            pilot,
            "✓ Starting Petals",
            "▸ Downloading: 1.2 of 3.4 GB, 45 MB/s, 50 s left",
            "· Connecting to the swarm",
        )


async def test_a_serving_server_is_told_and_stopped(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        services.sharing.become(replace(SERVING, serving_since=time.time() - 125))
        await until_shown(
            pilot, "Sharing torbiz-demo", "2 min", "0:8", "812 tokens/s", "42 in all", "612 MB"
        )
        await until_shown(pilot, ADDRESS, "A [red]request[/red] came")
        await pilot.press("y")
        await until_shown(pilot, "your terminal decides")
        assert app.clipboard == ADDRESS
        await pilot.press("x")
        await until_shown(pilot, "Start sharing")
    assert services.sharing.stopped == 1


async def test_stopping_asks_while_requests_are_open(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(replace(SERVING, requests_open=2))
        await until_shown(pilot, "2 open")
        await pilot.press("x")
        await until_shown(pilot, "2 requests are being answered")
        await pilot.press("escape")
        await until_gone(pilot, "2 requests are")
        assert services.sharing.stopped == 0


async def test_the_idle_sessions_of_the_own_chat_bother_nobody(services: FakeServices) -> None:
    services.inference.idle_session = True
    idle = Served(open=2, clients=1)
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(replace(SERVING, requests_open=2, served=idle))
        await until_shown(pilot, "2 open")
        # Another program of this home asks through the same chat runner.
        busy = replace(idle, rate=12.0)
        services.sharing.become(replace(SERVING, requests_open=2, served=busy))
        await until_shown(pilot, "12.0 tokens/s")
        await pilot.press("x")
        await until_shown(pilot, "1 request is being answered")
        await pilot.press("escape")
        await until_gone(pilot, "1 request is")
        services.sharing.become(replace(SERVING, requests_open=2, served=idle))
        await until_shown(pilot, "0.0 tokens/s")
        await pilot.press("x")
        await until_shown(pilot, "Start sharing")


async def test_a_server_that_died_is_explained_and_can_be_retried(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "8 blocks")
        app.screen.query_one("#port", Input).value = "31999"
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Starting torbiz-demo")
        services.sharing.become(
            SharingState(
                phase=Phase.FAILED,
                spec=services.sharing.state.spec,
                failure="The server has ended.",
                remedy="Host fewer blocks.",
                exit_report=ExitReport(out_of_memory=True, last_lines=("MemoryError [x]",)),
            )
        )
        await until_shown(pilot, "Sharing has ended", "ran out of memory", "MemoryError [x]")
        await until_shown(pilot, "→ Host fewer blocks.")
        await pilot.press("r")
        await until(pilot, lambda: len(services.sharing.started) == 2, "retried")
        assert "Starting" in screen_text(app)
    assert services.sharing.started[1].port == 31999


async def test_retry_starts_a_server_of_a_shell_as_it_was_started(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "8 blocks")
        # One of this app came before.
        await pilot.press("ctrl+s")
        await until(pilot, lambda: services.sharing.started, "started")
        spec = replace(SPEC, port=31999, hours="22:00-07:00", petals_options=("num_handlers=3",))
        services.sharing.become(
            SharingState(phase=Phase.FAILED, spec=spec, failure="The server has ended.")
        )
        await until_shown(pilot, "Sharing has ended")
        await pilot.press("r")
        await until(pilot, lambda: len(services.sharing.started) == 2, "retried")
    request = services.sharing.started[1]
    assert (request.port, request.hours) == (31999, "22:00-07:00")
    assert request.petals_options == ("num_handlers=3",)


TAKEN = TorbizError(
    "The container name torbiz-petals-seeder is taken by something that is not a Torbiz server.",
    why="Image database:16, state running.",
    remedy="Remove that container.",
    code="container_name_taken",
)


async def test_a_taken_name_is_asked_about_and_only_yes_removes(services: FakeServices) -> None:
    services.sharing.error = TAKEN
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Start sharing")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "database:16", "Remove that container and start?")
        await pilot.press("enter")
        await until_shown(pilot, "is taken by something")
        assert services.sharing.started == []
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Remove that container and start?")
        await pilot.press("right", "enter")
        await until(pilot, lambda: services.sharing.started, "started")


async def test_a_paused_container_and_a_lost_engine_are_said(services: FakeServices) -> None:
    paused = replace(SERVING, container="torbiz-petals-seeder", paused=True)
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(paused)
        await until_shown(pilot, "Paused", "docker unpause torbiz-petals-seeder", "paused")
        services.sharing.become(replace(paused, container=None))
        await until_shown(pilot, "Paused", "pkill -CONT", "lets it go on")
        services.sharing.become(replace(paused, paused=False, lost="Docker does not answer."))
        await until_shown(pilot, "No contact", "Docker does not answer.", "keeps trying")
        services.sharing.become(replace(paused, paused=False))
        await until_shown(pilot, "Sharing torbiz-demo", "Container")
        await until_gone(pilot, "No contact")


async def test_what_a_container_sends_and_receives_is_shown(services: FakeServices) -> None:
    used = ResourceSample(
        87.0, 612_000_000, 3, network_rx_bytes=5_000_000, network_tx_bytes=7_000_000
    )
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(replace(SERVING, container="seeder", resources=used))
        await until_shown(pilot, "5 MB received, 7 MB sent")


async def test_the_command_behind_it_can_be_read(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(SERVING)
        await until_shown(pilot, "Sharing torbiz-demo")
        await pilot.press("k")
        await until_shown(pilot, "docker run --rm torbiz --port 31337", "It holds no token")
        await pilot.press("escape")
        await until_gone(pilot, "It holds no token")


async def test_a_server_stopped_from_elsewhere_is_said_above_the_form(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(SERVING)
        await until_shown(pilot, "Sharing torbiz-demo")
        event = SharingEvent(time.time(), "The server was stopped from elsewhere")
        services.sharing.become(SharingState(events=(event,)))
        await until_shown(pilot, "Start sharing", "The server was stopped from elsewhere.")


async def test_what_was_shared_is_said_when_it_has_stopped(services: FakeServices) -> None:
    told = "Stopped sharing torbiz-demo after 12 min: 49 tokens for 1 request"
    stopped = SharingState(events=(SharingEvent(time.time(), told),))
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        services.sharing.become(SERVING)
        await until_shown(pilot, "Sharing torbiz-demo")
        services.sharing.become(replace(SERVING, phase=Phase.STOPPING))
        await until_shown(pilot, "Stopping")
        services.sharing.become(stopped)
        await until_shown(pilot, "Start sharing", "after 12 min: 49 tokens")
        # On another screen, too.
        await pilot.press("f3")
        await until_gone(pilot, "after 12 min: 49 tokens")
        services.sharing.become(SERVING)
        await until_shown(pilot, "serving 0:8")
        services.sharing.become(stopped)
        await until_shown(pilot, "after 12 min: 49 tokens")


async def test_an_engine_that_does_not_answer_is_said_above_the_form(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(SharingState(lost="Docker is not running."))
        await until_shown(pilot, "Docker is not running. Whether", "no contact")
        services.sharing.become(SharingState())
        await until_gone(pilot, "Docker is not running.")


async def test_a_server_that_another_program_starts_is_noticed(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "Start sharing")
        before = services.sharing.attached
        await until(pilot, lambda: services.sharing.attached > before, "looked again")
