"""Which logs there are, whenever that is asked."""

from __future__ import annotations

from pathlib import Path

from torbiz_tui.logs.sources import log_sources
from torbiz_tui.paths import Paths


def test_logs_come_and_go(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    known = ["seeder", "inference", "setup", "app"]
    assert [source.name for source in log_sources(paths)] == known
    paths.ensure()
    for name in ("p2pd.log", "gone.log.1", "app.log.1", "notes.txt", ".app.log.rotating"):
        (paths.logs / name).write_bytes(b"")
    (paths.logs / "folder.log").mkdir()
    found = log_sources(paths)
    assert [source.name for source in found] == [*known, "gone", "p2pd"]
    assert [source.name for source in found if source.exists] == ["app", "gone", "p2pd"]
    (paths.logs / "p2pd.log").unlink()
    assert [source.name for source in log_sources(paths)] == [*known, "gone"]


def test_logs_of_programs_that_not_everybody_starts_have_their_names(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    for name in ("swarm_monitor.log", "bootstrap.log.1", "reach.log"):
        (paths.logs / name).write_bytes(b"")
    assert [(source.name, source.title) for source in log_sources(paths)][2:5] == [
        ("monitor", "The monitor of the swarm"),
        ("bootstrap", "The bootstrap node"),
        ("reach", "The reach test"),
    ]


def test_a_container_s_log_is_there_where_one_is_hosted_or_was(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    assert "container" in [source.name for source in log_sources(paths, container=True)]
    assert "container" not in [source.name for source in log_sources(paths)]
    (paths.logs / "container.log").write_bytes(b"")
    assert "container" in [source.name for source in log_sources(paths)]
