"""`ask` with an answer that never ends, for a test to interrupt; says at the end what was closed."""

from __future__ import annotations

import sys

from tests.cli.fakes import Scene
from torbiz_tui.cli import main
from torbiz_tui.commands import running
from torbiz_tui.inference.events import TokenReceived

scene = Scene(events=[TokenReceived("Once upon"), None])
vars(running)["build_services"] = scene.build
code = main(sys.argv[1:])
assert scene.inference is not None
sys.stderr.write(f"cancelled={scene.inference.cancelled} closed={scene.inference.closed}\n")
sys.exit(code)
