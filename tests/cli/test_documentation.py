"""`docs/commands.md` names every command and every option that the program has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.test_usage import COMMANDS
from torbiz_tui.cli import main

DOCUMENT = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_option_is_documented(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([*command.split(), "--help"]) == 0
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    documented = set(re.findall(r"--[a-z][a-z-]+", DOCUMENT))
    assert options - documented <= {"--help", "--follow", "--lines"}
    assert command in DOCUMENT
