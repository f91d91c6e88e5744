"""`docs/troubleshooting.md` says what the program knows."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_made_from_the_symptoms() -> None:
    page = runpy.run_path(str(DOCS / "write_troubleshooting.py"))["page"]()
    written = (DOCS / "troubleshooting.md").read_text("utf-8")
    assert written == page, "run `python docs/write_troubleshooting.py`"
