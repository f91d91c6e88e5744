"""Petals' own server for `benchmarks/share.py`, on the same stack; run with Petals' Python.

    bare_server.py ARGUMENT…

The arguments are those of `python -m petals.cli.run_server`. The pinned stack lacks names that this
module imports, so what makes Petals importable is applied first, and nothing else of this program.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "runner_scripts"


if __name__ == "__main__":
    sys.path.insert(0, str(SCRIPTS))
    import petals_compat  # type: ignore[import-not-found]

    petals_compat.apply("server")
    runpy.run_module("petals.cli.run_server", run_name="__main__", alter_sys=True)
