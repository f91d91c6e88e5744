"""`setup` on a terminal asks once before it brings anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from tests.cli.fakes import Scene, ScriptedStep
from torbiz_tui.cli import main
from torbiz_tui.commands import running
from torbiz_tui.setup.step import CheckResult

scene = Scene(step=ScriptedStep(CheckResult.missing("350 MB to download")))
vars(running)["build_services"] = scene.build
code = main(["setup"])
print(f"applied={scene.step.applied} code={code}")
"""


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("\r", "applied=True code=0"),
        ("yes\r", "applied=True code=0"),
        ("n\r", "applied=False code=3"),
        ("\x04", "applied=False code=3"),
        ("\x03", "applied=False code=130"),
    ],
)
def test_the_answer_decides(answer: str, outcome: str) -> None:
    child = pexpect.spawn(sys.executable, ["-c", SCRIPT], cwd=str(ROOT), encoding="utf-8")
    try:
        child.expect("The stack: 350 MB to download", timeout=90)
        child.expect_exact("Go on? [Y/n] ")
        child.send(answer)
        child.expect_exact(outcome, timeout=90)
    finally:
        child.close(force=True)
