"""Writing the lines that are shown into a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.decoding import decode_line, shown_line
from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.pacing import Pace
from torbiz_tui.logs.redaction import redact
from torbiz_tui.logs.views import LineView

_BATCH = 500


def export_lines(
    view: LineView,
    file: Path,
    *,
    sanitized: bool = True,
    names: Sequence[str] = (),
    whole: Callable[[RawLine], bytes] | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> int:
    """Write all lines of a view, always without tokens; returns how many.

    `sanitized` false keeps escapes and carriage returns as they stand in the log. With `names` (of
    a merged view) each line begins with the name of its source. `whole` gives all of a line that is
    longer than a view tells. Blocks: call it in a thread. The file is new and readable by its owner
    alone. Raises TorbizError when it exists (code `file_exists`) or cannot be written; then, and
    when `stop` is set, nothing is left.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise TorbizError(
            f"{file} exists.", remedy="Choose another name.", code="file_exists"
        ) from None
    except OSError as error:
        raise _not_written(file, error) from error
    count = None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            count = _write(stream, view, names, sanitized, whole, stop, on_progress)
    except OSError as error:
        raise _not_written(file, error) from error
    finally:
        if count is None:
            file.unlink(missing_ok=True)
    return count or 0


def _write(
    stream: IO[bytes],
    view: LineView,
    names: Sequence[str],
    sanitized: bool,
    whole: Callable[[RawLine], bytes] | None,
    stop: threading.Event | None,
    on_progress: Callable[[float], None] | None,
) -> int | None:
    """Write the lines; None when it was stopped."""
    pace = Pace()
    done, total = 0, view.count
    while done < total:
        lines = view.lines(done, min(_BATCH, total - done))
        if stop is not None and stop.is_set():
            return None
        if not lines:
            break
        for line in lines:
            data = whole(line) if whole is not None and line.length > len(line.data) else line.data
            text = shown_line(data) if sanitized else redact(decode_line(data))
            name = f"{names[line.source]}: " if names else ""
            stream.write(f"{name}{text}\n".encode("utf-8", "replace"))
            pace.breathe()
        done += len(lines)
        if on_progress is not None:
            on_progress(done / total)
    return done


def _not_written(file: Path, error: OSError) -> TorbizError:
    return TorbizError(
        f"{file} cannot be written.",
        why=f"{error.strerror or error}.",
        remedy="Choose another place, or free some disk space.",
        code="not_written",
    )
