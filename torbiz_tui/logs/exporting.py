"""Writing the lines that are shown into a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from torbiz_tui.logs.views import LineView


def export_lines(
    view: LineView,
    file: Path,
    *,
    sanitized: bool = True,
    names: Sequence[str] = (),
    stop: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Write all lines of a view, always without tokens; returns how many.

    `sanitized` false keeps escapes and other bytes as they stand in the log. With `names` (of a
    merged view) each line begins with the name of its source. Blocks: call it in a thread. The file
    is new and readable by its owner alone. Raises TorbizError when it exists (code `file_exists`)
    or cannot be written; when it fails or `stop` is set, nothing is left.
    """
    raise NotImplementedError
