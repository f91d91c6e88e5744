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
    assert cells("❤️☎️") == 4
    assert fitted("服务器", 5) == "服务…"
    assert fitted("ab", 4, right=True) == "  ab"


def test_servers_are_found_by_block_name_or_state_and_few_are_told_of_wholly() -> None:
    swarm = snapshot(
        126,
        server(1, 0, 40, public_name="Alice", adapters=["owner/lora"], forward_rps=900.0),
        server(
            2, 40, 126, public_name="bob", state="joining", next_pings={"Qm" + "x" * 44: 0.0123}
        ),
        server(3, 20, 60),
    )
    by_block = plain(table(swarm, find=" 45 "))
    assert by_block[0] == "2 of 3 servers have block 45"
    assert "…000003" in by_block[2]
    assert "bob (…000002)" in by_block[3]
    text = "\n".join(plain(table(swarm, find="ALICE")))
    assert text.startswith("1 of 3 servers match 'ALICE'")
    assert "  peer       12D3KooWQzx9000001" in text
    assert "  tokens/s   in all 12.5, forward 900" in text
    assert "  adapters   owner/lora" in text
    assert "…xxxxxx 12 ms" in "\n".join(plain(table(swarm, find="joining")))
    assert plain(table(swarm, find="nobody"))[0].startswith("0 of 3 servers")


def test_the_table_is_sorted_as_one_likes_with_own_servers_first() -> None:
    swarm = crowd()
    fastest = plain(table(swarm, order="throughput"))
    assert fastest[1].startswith("@ ")
    states = [line[12:23].strip() for line in plain(table(swarm, order="state"))[2:]]
    assert states == sorted(states, key=["online", "joining", "unreachable", "offline"].index)


def test_the_way_to_a_server_is_that_of_the_connection_where_there_is_one() -> None:
    swarm = snapshot(
        8,
        server(1, 0, 8, using_relay=True, relayed=False),
        server(2, 0, 8, using_relay=True),
        server(3, 0, 8, using_relay=False, relayed=True),
    )
    ways = [line.split()[4] for line in plain(table(swarm))[1:]]
    assert ways == ["direct", "relay", "relay"]
