"""`ask` with an answer that goes on and on, for a test that stops reading it."""

from __future__ import annotations

import sys

from tests.cli.fakes import Scene
from torbiz_tui.cli import main
from torbiz_tui.commands import running
from torbiz_tui.inference.events import TokenReceived

scene = Scene(events=[TokenReceived("Once upon a time, ")] * 100_000)
vars(running)["build_services"] = scene.build
code = main(sys.argv[1:])
assert scene.inference is not None
sys.stderr.write(f"cancelled={scene.inference.cancelled} closed={scene.inference.closed}\n")
sys.exit(code)
