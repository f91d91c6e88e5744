"""Write docs/petals-options.md from the table of Petals' options that the program has.

python docs/write_petals_options.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from torbiz_tui.petals_command_line import NOTES, PETALS_OPTIONS, PetalsOption  # noqa: E402

FILE = ROOT / "docs" / "petals-options.md"
_BEGINNING = """\
# Petals' own options

Every option of `python -m petals.cli.run_server` (Petals 2.2.0), for those who know it: how it is said
here. This page is made from the table that the program checks with.

## Passed on

    torbiz-tui share --petals NAME=VALUE --petals NAME=VALUE …

or, for every start, in the [configuration](configuration.md):

    share:
      petals_options: [session_timeout=3600, balance_quality=0, no_auto_relay]

or `TORBIZ_SHARE_PETALS_OPTIONS=session_timeout=3600,balance_quality=0`. Options of the command line
replace those of the configuration, all of them. Dashes and underscores are alike, `--` before a name
does not count, a flag needs no value, several values have blanks between them. What is wrong is said
before anything is started. What a server was started with is kept with it: a restart, also a guided
one from the form, uses it again; `--show-command` shows it.
"""


def page() -> str:
    """The whole page."""
    passed = {name: option for name, option in PETALS_OPTIONS.items() if option.kind is not None}
    ours = {name: option for name, option in PETALS_OPTIONS.items() if option.instead}
    rows = ["| option | what it says | accepted | default |", "|---|---|---|---|"]
    rows += [_passed(name, option) for name, option in passed.items()]
    others = ["| option | what it says | here |", "|---|---|---|"]
    others += [_cells(f"`{name}`", one.meaning, one.instead) for name, one in ours.items()]
    parts = [_BEGINNING, "\n".join(rows) + "\n", *(f"- {note}\n" for note in NOTES)]
    parts += ["## Said in another way\n", "\n".join(others) + "\n"]
    return "\n".join(parts)


def _passed(name: str, option: PetalsOption) -> str:
    assert option.kind is not None
    return _cells(f"`{name}`", option.meaning, option.kind.accepted, option.default)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    FILE.write_text(page(), "utf-8")
