"""What a person sees while their server runs: what is served, to whom, how fast, with whom."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.app.conftest import app_of
from tests.app.fakes import SPEC, FakeServices
from tests.app.seeing import screen_text, until, until_gone, until_shown
from torbiz_tui.environments.base import ResourceSample
from torbiz_tui.hardware.gpu_use import GpuUse
from torbiz_tui.private_swarms.invite import decode
from torbiz_tui.sharing.histories import Histories
from torbiz_tui.sharing.served import Served, SwarmSeen
from torbiz_tui.sharing.state import Phase, SharingEvent, SharingState, Stage

PEER = "12D3KooWQYzSxLDTKzDPcRXbNtVjC5DhCAbmRbYjXzzWRT3aJwYd"
ADDRESS = f"/ip4/192.168.1.20/tcp/31337/p2p/{PEER}"
SERVED = Served(
    rate=12.34,
    prompt_tokens=1204,
    generated_tokens=98765,
    open=2,
    requests=42,
    cache_tokens=1204,
    cache_tokens_size=8192,
    cache_bytes=17_000_000,
    cache_bytes_size=116_000_000,
    received=39_664,
    sent=5_000_000,
    clients=3,
    client_names=("c8AjyG", "SRx4yK"),
)
PAST = Histories(
    cpu=(0.0, 50.0, 100.0, 87.0),
    memory=(6e8, 6e8, 6.12e8),
    gpu=(10.0, 45.0),
    received=(0.0, 1.0),
    sent=(0.0, 9.0),
    tokens=(0.0, 6.0, 12.3),
)


def serving(**changes: object) -> SharingState:
    state = SharingState(
        phase=Phase.SERVING,
        stage=Stage.SERVING,
        spec=SPEC,
        blocks=(0, 8),
        serving_since=time.time() - 7530,
        throughput=812.0,
        addresses=(ADDRESS,),
        requests_open=2,
        requests_total=42,
        served=SERVED,
        swarm=SwarmSeen(3),
        resources=ResourceSample(87.0, 612_000_000, 3),
        histories=PAST,
        events=(SharingEvent(time.time(), "Serving blocks 0:8, confirmed in the DHT"),),
    )
    return replace(state, **changes)  # type: ignore[arg-type]


async def test_what_is_served_to_whom_and_how_fast(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(80, 24)) as pilot:
        services.sharing.become(serving())
        await until_shown(
            pilot,
            "2 h 05 min  blocks 0:8 (8 of 8)  port 31337",
            "whole, 3 servers",
            "12.3 tokens/s",
            "1,204 of prompts, 98,765 generated",
            "2 open, 42 in all",
            "from …c8AjyG, …SRx4yK, and 1 more",
            "1,204 of 8,192 tokens",
            "15%",
            "87% of a core",
            "612 MB",
            "40 kB received, 5 MB sent",
            "812 tokens/s per block",
            "y copies the invite code; only your own network reaches it",
            # What happened last is in view, too; the address is in the palette.
            "Serving blocks 0:8, confirmed in the DHT",
        )
        assert ADDRESS[:40] not in screen_text(app)
        rows = {row.split()[0]: row for row in screen_text(app).splitlines() if row.split()}
        assert rows["Speed"].rstrip().endswith("▁▄█")
        assert rows["CPU"].rstrip().endswith("▁▅█▇")
        assert rows["Sessions"].rstrip().endswith("▁█")
        # Nothing was asked about a GPU, so nothing is said of one.
        assert "GPU" not in screen_text(app)
        services.sharing.become(serving(gpu=GpuUse(45.0, 12_900_000_000)))
        await until_shown(pilot, "45%, 12.9 GB used")


async def test_holes_of_the_swarm_stand_out(services: FakeServices) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(serving(swarm=SwarmSeen(1, ((8, 12), (15, 16)))))
        await until_shown(pilot, "1 server, blocks 8:12, 15:16 lack a server")


async def test_a_wide_terminal_shows_longer_histories(services: FakeServices) -> None:
    app = app_of(services, "share")
    past = Histories(cpu=tuple(float(number) for number in range(180)))

    def cells() -> int:
        rows = [row for row in screen_text(app).splitlines() if row.startswith(" CPU")]
        return sum(row.count(block) for row in rows for block in "▁▂▃▄▅▆▇█")

    async with app.run_test(size=(80, 24)) as pilot:
        services.sharing.become(serving(histories=past))
        await until(pilot, lambda: 25 < cells() < 40, "a short history")
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: 60 < cells() < 80, "a longer history")
        await until_shown(pilot, ADDRESS)
        await pilot.resize_terminal(46, 24)
        await until(pilot, lambda: cells() == 0, "no room for histories")
        await until_shown(pilot, "87% of a core")


async def test_an_older_server_that_tells_nothing_is_shown_as_before(
    services: FakeServices,
) -> None:
    async with app_of(services, "share").run_test(size=(80, 24)) as pilot:
        services.sharing.become(serving(served=None, swarm=None, histories=Histories()))
        await until_shown(pilot, "2 open, 42 in all", "612 MB")
        await until_gone(pilot, "Speed")
        await until_gone(pilot, "Cache")


async def test_y_copies_a_code_that_a_friend_can_join_with(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        services.sharing.become(serving())
        await until_shown(pilot, "y copies the invite code")
        await pilot.press("y")
        await until_shown(pilot, "The invite code", "your terminal decides")
        invite = decode(app.clipboard)
        assert invite.peers == (ADDRESS,)
        assert [model.name for model in invite.models] == ["torbiz-demo"]


async def test_the_palette_offers_the_address_and_whole_lines(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 30)) as pilot:
        services.sharing.become(serving())
        await until_shown(pilot, "y copies the invite code")
        offered = {command.title: command for command in app.get_system_commands(app.screen)}
        await offered["Copy the line to host more of it"].callback()
        code = app.clipboard.removeprefix("torbiz-tui share --join ")
        assert decode(code).peers == (ADDRESS,)
        await offered["Copy the line to ask it"].callback()
        assert app.clipboard == f"torbiz-tui ask --join {code}"
        await offered["Copy the invite address"].callback()
        assert app.clipboard == ADDRESS


async def test_in_the_public_swarm_nobody_needs_a_code(services: FakeServices) -> None:
    app = app_of(services, "share")
    async with app.run_test(size=(100, 30)) as pilot:
        services.sharing.become(serving(spec=replace(SPEC, new_swarm=False)))
        await until_shown(pilot, "y copies the invite address")
        offered = {command.title: command for command in app.get_system_commands(app.screen)}
        assert "Copy the invite code" not in offered
        await offered["Copy the line to ask it"].callback()
        assert app.clipboard == "torbiz-tui ask --model torbiz-demo"
