"""The picture and the table: readable at any size."""

from __future__ import annotations

import pytest

from tests.swarm_map.swarms import crowd, server, snapshot
from torbiz_tui.swarm_map.picture import picture
from torbiz_tui.swarm_map.rows import STYLES, cells, fitted, plain
from torbiz_tui.swarm_map.table import table


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("num_blocks", [1, 8, 32, 70, 80, 126, 4096])
def test_no_line_is_wider_than_the_terminal(num_blocks: int, width: int) -> None:
    swarm = crowd(num_blocks)
    rows = [*picture(swarm, width), *table(swarm, width)]
    assert max(map(cells, plain(rows))) <= width
    assert {style for row in rows for _text, style in row} <= {"", *STYLES}


def test_two_hundred_servers_and_126_blocks_fit_a_screen() -> None:
    swarm = crowd()
    shown = plain(picture(swarm, 80, most_lanes=12))
    assert len(shown) <= 24
    text = "\n".join(shown)
    assert "yours" in text
    assert "more servers are in the table" in text
    assert "One column is 2 blocks" in text
    assert len(table(swarm, 80)) == 201


def test_a_single_hole_is_seen_where_blocks_share_a_column() -> None:
    swarm = snapshot(126, server(1, 0, 63), server(2, 64, 126), server(3, 0, 63))
    strip = next(line for line in plain(picture(swarm)) if line.startswith("servers"))
    assert strip.removeprefix("servers").strip() == "2" * 31 + "." + "1" * 31
    text = "\n".join(plain(picture(swarm)))
    assert "With holes: 1 of 126 blocks is not served." in text
    assert "Nobody serves 63." in text


def test_a_small_swarm_is_drawn_server_by_server() -> None:
    swarm = snapshot(
        8,
        server(1, 0, 4),
        server(2, 4, 8, state="joining"),
        server(3, 2, 6, reachable=False),
        server(4, 0, 2, state="offline"),
    ).marked(["12D3KooWQzx9000001"])
    assert plain(picture(swarm)) == [
        "owner/model",
        "With holes: 4 of 8 blocks are not served. 1 online, 1 joining, 1 unreachable, 1",
        "  offline",
        "Nobody serves 4–7.",
        "Being loaded by a server: 4–7.",
        "Only one server for 0–3.",
        "",
        "block     0       2       4       6",
        "servers   1111111111111111................",
        "yours     @@@@@@@@@@@@@@@@",
        "…000004   ________",
        "…000003           ????????????????",
        "…000002                   JJJJJJJJJJJJJJJJ",
        "# online, @ this machine, J joining, ? does not answer, _ offline, . nobody",
    ]
    assert plain(table(swarm))[:2] == [
        "  blocks    state        tok/s infer/s via    version      server",
        "@ 0–3       online        12.5       – –      –            …000001",
    ]


def test_says_when_all_or_nothing_is_served() -> None:
    whole = plain(picture(snapshot(8, server(1, 0, 8), server(2, 0, 8))))
    assert whole[1] == "Whole: all 8 blocks are served. 2 online"
    nobody = plain(picture(snapshot(8)))
    assert nobody[1] == "Nobody serves any of the 8 blocks. No server is known"
    alone = plain(picture(snapshot(8, server(1, 0, 8, reachable=False), alone=True)))
    assert alone[1].startswith("No peer of the swarm answers. 1 unreachable")


def test_of_a_long_name_the_end_of_the_identity_stays() -> None:
    swarm = snapshot(8, server(7, 0, 8, public_name="服务器" * 9))
    row = plain(table(swarm, 80))[1]
    assert row.endswith("… (…000007)")
    assert cells(row) <= 80


def test_wide_letters_take_two_columns() -> None:
    assert cells("服务器") == 6
    assert fitted("服务器", 5) == "服务…"
    assert fitted("ab", 4, right=True) == "  ab"
