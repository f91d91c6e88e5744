"""The check of the installed stack."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .runner_process import run_script


def test_tells_versions_and_devices(petals_python: Path) -> None:
    result = run_script(petals_python, "check_stack.py")
    assert result.returncode == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {event["type"] for event in events[:-1]} == {"progress"}
    assert events[-1]["ok"] is True
    assert set(events[-1]["versions"]) == {"python", "torch", "petals", "hivemind", "transformers"}
    assert events[-1]["devices"][0] == "cpu"
    assert result.stderr == ""


def test_says_what_is_missing() -> None:
    result = run_script(sys.executable, "check_stack.py")
    assert result.returncode == 1
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["ok"] is False
    assert "No module named 'torch'" in last["error"]
