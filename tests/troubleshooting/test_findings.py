"""What the last lines of the logs say, the newest first, each once."""

from __future__ import annotations

import os
from pathlib import Path

from torbiz_tui.logs.sources import log_sources
from torbiz_tui.paths import Paths
from torbiz_tui.troubleshooting.findings import LINES_LOOKED_AT, Finding, findings
from torbiz_tui.troubleshooting.symptom import Machine


def write_log(home: Path, name: str, lines: list[str], *, written_at: int) -> None:
    file = Paths(home).logs / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    os.utime(file, (written_at, written_at))


def found_in(home: Path) -> list[Finding]:
    return findings(log_sources(Paths(home), container=True), Machine.LINUX)


def test_the_log_written_last_comes_first_and_each_symptom_once(tmp_path: Path) -> None:
    write_log(
        tmp_path,
        "petals_seeder.log",
        [
            "P2PDaemonError: Daemon failed to start in 60.0 seconds",
            "OSError: [Errno 98] Address already in use (first)",
            "OSError: [Errno 98] Address already in use (second)",
            "Started",
        ],
        written_at=1000,
    )
    write_log(
        tmp_path,
        "petals_inference.log",
        ["MissingBlocksError: No servers holding blocks [1] are online."],
        written_at=2000,
    )
    found = found_in(tmp_path)
    assert [(one.log, one.explanation.symptom.id) for one in found] == [
        ("inference", "missing_blocks"),
        ("seeder", "port_taken"),
        ("seeder", "p2p_start_timeout"),
    ]
    assert "(second)" in found[1].explanation.line


def test_lines_of_two_logs_are_put_in_order_by_their_stamps(tmp_path: Path) -> None:
    write_log(
        tmp_path,
        "petals_seeder.log",
        [
            "Nov 24 16:00:00.000 [INFO] Swarm is imbalanced, server will load other blocks",
            "Nov 24 18:00:00.000 [ERROR] [x.y:1] failed:",
            "OSError: [Errno 98] Address already in use",
        ],
        written_at=2000,
    )
    write_log(
        tmp_path,
        "petals_inference.log",
        ["Nov 24 17:00:00.000 [WARN] [x.y:1] Maximum length exceeded: prefix 1"],
        written_at=3000,
    )
    assert [one.explanation.symptom.id for one in found_in(tmp_path)] == [
        "port_taken",
        "context_full",
        "rebalancing",
    ]


def test_only_the_last_lines_count(tmp_path: Path) -> None:
    trouble = "OSError: [Errno 98] Address already in use"
    ordinary = [f"line {number}" for number in range(LINES_LOOKED_AT)]
    write_log(tmp_path, "petals_seeder.log", [trouble, *ordinary], written_at=1)
    assert found_in(tmp_path) == []
    write_log(tmp_path, "petals_seeder.log", [trouble, *ordinary[1:]], written_at=1)
    assert [one.explanation.symptom.id for one in found_in(tmp_path)] == ["port_taken"]


def test_what_setup_checks_itself_is_left_to_it(tmp_path: Path) -> None:
    line = "2026-11-24 16:07:18.357 [INFO] [torbiz.setup] [engine] blocked: Docker is not running."
    write_log(tmp_path, "setup.log", [line], written_at=1)
    assert found_in(tmp_path) == []


def test_a_line_is_safe_to_show(tmp_path: Path) -> None:
    token = "hf_" + "a" * 30
    line = f"\x1b]0;title\x07 GatedRepoError: {token} " + "x" * 5000
    write_log(tmp_path, "petals_seeder.log", [line], written_at=1)
    (one,) = found_in(tmp_path)
    assert "\x1b" not in one.explanation.line
    assert token[:12] not in one.explanation.line
    assert len(one.explanation.line) == 300


def test_logs_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    assert found_in(tmp_path) == []
    (Paths(tmp_path).logs / "app.log").mkdir(parents=True)
    assert found_in(tmp_path) == []
