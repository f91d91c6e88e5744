"""What becomes of the blocks that this machine serves when it is to fill a gap."""

from __future__ import annotations

import pytest

from torbiz_tui.sharing.changes import beside_own


@pytest.mark.parametrize(
    ("wanted", "own", "blocks", "said"),
    [
        ("4:8", (0, 4), "0:8", "0:4, which this machine serves already, is kept."),
        ("0:2", (2, 8), "0:8", "2:8, which this machine serves already, is kept."),
        ("2:6", (4, 8), "2:8", "4:8, which this machine serves already, is kept."),
        ("6:8", (0, 4), "6:8", "This machine would no longer serve 0:4, which lies apart."),
        ("0:8", (2, 6), "0:8", ""),
        ("auto", (0, 4), "auto", ""),
    ],
)
def test_a_gap_beside_the_own_blocks_is_filled_with_them(
    wanted: str, own: tuple[int, int], blocks: str, said: str
) -> None:
    told = beside_own(wanted, own)
    assert (told[0], told[1].strip()) == (blocks, said)
