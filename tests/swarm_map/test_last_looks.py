"""The last looks at several swarms, kept by several programs at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from torbiz_tui.paths import Paths
from torbiz_tui.swarm_map import last_looks
from torbiz_tui.swarm_map.last_looks import LastLooks

MODELS = [f"acme/model-{number}" for number in range(8)]


def test_looks_that_end_at_the_same_time_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_looks, "_LOCK_S", 60.0)
    paths = Paths(tmp_path)

    def keep(model: str) -> None:
        # Each program has its own.
        LastLooks(paths).keep(model, "m", None, {"num_blocks": 8, "servers": []})

    with ThreadPoolExecutor(len(MODELS)) as programs:
        list(programs.map(keep, MODELS))
    found = [LastLooks(paths).find(model, "m", None) for model in MODELS]
    assert [look.num_blocks for look in found if look is not None] == [8] * len(MODELS)
